import { Migration } from '@mikro-orm/migrations';

/** Answers of models that devices signed, and what audits found about them. */
export class Answers extends Migration {
  override up(): void {
    this.addSql(`
      create table answers (
        id text not null primary key,
        tenant text not null,
        model_name text not null,
        device text not null,
        public_key text not null,
        statement text not null,
        signature text not null,
        at bigint not null,
        finding text
      )`);
  }

  override down(): void {
    this.addSql('drop table answers');
  }
}
