/** Of the cluster that `failover` starts: as many as the grid has. */
export const BENCH_PARTITIONS = 256;
