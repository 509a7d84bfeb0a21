import { clusterWorld } from './cluster-world.ts';
import { gridWorld } from './grid-world.ts';
import { linkWorld } from './link-world.ts';
import type { World } from './world.ts';

export const WORLDS: Readonly<Record<string, World>> = { grid: gridWorld, link: linkWorld, cluster: clusterWorld };
