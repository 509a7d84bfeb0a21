import { storeAnswersContract } from './store-answers.contract.ts';
import { storeAccessContract } from './store-access.contract.ts';
import { storeCheckpointsContract } from './store-checkpoints.contract.ts';
import { storeClaimContract } from './store-claim.contract.ts';
import { storeCommitContract } from './store-commit.contract.ts';
import { storeJobsContract } from './store-jobs.contract.ts';
import { storeModelsContract } from './store-models.contract.ts';
import { storeHistoryContract } from './store-history.contract.ts';
import { storeObjectsContract } from './store-objects.contract.ts';
import { storeRecordsContract } from './store-records.contract.ts';
import { storeTrustContract } from './store-trust.contract.ts';
import type { OpenStore } from './store-scene.ts';

/** What every store promises. Each test opens a store of its own. */
export function storeContract(open: OpenStore): void {
  storeAccessContract(open);
  storeAnswersContract(open);
  storeJobsContract(open);
  storeClaimContract(open);
  storeCommitContract(open);
  storeRecordsContract(open);
  storeTrustContract(open);
  storeModelsContract(open);
  storeCheckpointsContract(open);
  storeObjectsContract(open);
  storeHistoryContract(open);
}
