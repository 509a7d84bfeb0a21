import type { FromAgent, ToAgent } from './agent-link.ts';

/**
 * Which lane of the link a message goes by. What follows from one another stays in one lane, where it stays in order: all that belongs
 * to models and generations, so that no token and no cancellation waits behind a job's bodies; and the attempts' own way
 * from command to vote, with bodies of up to 8 MiB. A stop is urgent: it may overtake the command that it stops.
 */
type Lane = 'control' | 'data';

const COMMANDS: { readonly [T in ToAgent['type']]: Lane } = {
  run: 'data',
  runs: 'data',
  stop: 'control',
  voteSettled: 'control',
  votesAccepted: 'control',
  upload: 'control',
  uploadCheckpoint: 'control',
  loadModel: 'control',
  unloadModel: 'control',
  generate: 'control',
  compute: 'control',
  reattach: 'control',
  cancelGeneration: 'control',
  drain: 'control',
};

const REPORTS: { readonly [T in FromAgent['type']]: Lane } = {
  beat: 'control',
  vote: 'data',
  votes: 'data',
  attemptFailed: 'data',
  attemptReleased: 'data',
  drained: 'data',
  offer: 'data',
  checkpoint: 'data',
  modelState: 'control',
  tokens: 'control',
  values: 'control',
  reattached: 'control',
  generationEnded: 'control',
};

export const laneOfCommand = ({ type }: ToAgent): Lane => COMMANDS[type];
export const laneOfReport = ({ type }: FromAgent): Lane => REPORTS[type];
