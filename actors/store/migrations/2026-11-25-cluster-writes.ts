import { Migration } from '@mikro-orm/migrations';

/**
 * The write of an entity as a function: its plan is made once for each connection. Sent as a statement of its own it would be planned for
 * every write, and each condition of the fence would cost the planner more than it costs the executor.
 */
export class ClusterWrites extends Migration {
  override up(): void {
    this.addSql(UP);
  }

  override down(): void {
    this.addSql('drop function cluster_write(text, text, bigint, bigint, bytea)');
  }
}

const UP = `create function cluster_write(of_kind text, of_id text, at_epoch bigint, at_version bigint, new_state bytea) returns boolean
  language plpgsql as $$
  begin
    update cluster_entities set version = version + 1, state = new_state
      where kind = of_kind and id = of_id and epoch = at_epoch and version = at_version;
    return found;
  end $$`;
