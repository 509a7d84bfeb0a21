import { Migration } from '@mikro-orm/migrations';

/**
 * Several coordinators: one lease row per process, owners that are lives rather than names, entities and timers of their own.
 * `lease_until` has no index, so that renewing it stays within its page; there are few rows.
 */
export class Cluster extends Migration {
  override up(): void {
    for (const statement of UP) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table cluster_nodes, cluster_entities, cluster_timers');
    this.addSql('alter table partitions drop column incarnation');
  }
}

const UP = [
  `create table cluster_nodes (
     id text primary key,
     incarnation bigint not null,
     address text not null,
     host text not null,
     public_key text not null,
     weight double precision not null,
     status text not null,
     lease_until timestamptz not null,
     constraint cluster_nodes_status_check check (status in ('up', 'draining', 'gone'))
   ) with (fillfactor = 50)`,
  `alter table partitions add column incarnation bigint`,
  `create table cluster_entities (
     kind text not null,
     id text not null,
     partition smallint not null,
     epoch bigint not null,
     version bigint not null,
     state bytea,
     primary key (kind, id)
   ) with (fillfactor = 70)`,
  `create table cluster_timers (
     kind text not null,
     id text not null,
     timer text not null,
     partition smallint not null,
     version bigint not null,
     due_at timestamptz not null,
     payload bytea not null,
     primary key (kind, id, timer)
   )`,
  `create index cluster_timers_due on cluster_timers (partition, due_at)`,
];
