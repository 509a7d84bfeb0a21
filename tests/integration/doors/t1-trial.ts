import { startGrid } from '#tests/support/grid.ts';
import { followJob } from '#bin/client/follow-job.ts';
import { wordCount } from './visitors.ts';
const grid = await startGrid({logLevel:'debug'});
await grid.startAgent('a');
try {
for (const mode of ['plain','cancel0','cancel20','cancel100','cancel300','pause-cancel']) {
  const s = await wordCount(grid.client, ['one two','three'], 2);
  const s1 = await wordCount(grid.client, ['uno'], 1);
  if (mode!=='plain') { await grid.client.submit(s); const ms=Number(mode.replace(/\D/g,'')); if(ms) await new Promise(r=>setTimeout(r,ms)); if (mode==='pause-cancel') { await grid.client.control(s.id,'pause'); await grid.client.control(s.id,'resume'); } await grid.client.control(s.id,'cancel'); }
  const t=performance.now(); await grid.client.submit(s1); await followJob(grid.client, s1.id, ()=>undefined); console.log(mode, Math.round(performance.now()-t));
}
console.log(grid.coordinator.output().split('\n').slice(8).join('\n').slice(0,6000)); console.log(grid.agents[0]?.output().slice(0,5000));
} finally { await grid.end(); }
