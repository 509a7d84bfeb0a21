// Who may import whom: the plan of ARCHITECTURE.md, section 2. The comment of a rule says what is allowed instead.
const RUNTIME_ROOMS = 'kernel|threads|link|cluster|presence|database|objects|identity|observe|simulation';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'Two rooms that need each other are one room. Types may name each other.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'kernel-imports-nothing',
      severity: 'error',
      comment: 'runtime/kernel imports nothing.',
      from: { path: '^runtime/kernel/' },
      to: { pathNot: '^runtime/kernel/' },
    },
    {
      name: 'runtime-knows-no-grid',
      severity: 'error',
      comment: 'runtime/ may import runtime/ only.',
      from: { path: `^runtime/(${RUNTIME_ROOMS})/` },
      to: { path: '^(actors|agent|bin|ui|scripts|tests)/' },
    },
    {
      name: 'contract-is-pure',
      severity: 'error',
      comment: 'actors/contract may import zod and runtime/identity/canonical.ts only (docs/decisions/0001).',
      from: { path: '^actors/contract/' },
      to: { pathNot: '^actors/contract/|^runtime/identity/canonical\\.ts$|(^|/)node_modules/zod/' },
    },
    {
      name: 'no-node-in-contract',
      severity: 'error',
      comment: 'actors/contract is browser-safe: no Node modules.',
      from: { path: '^actors/contract/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'actors-by-protocol',
      severity: 'error',
      comment: 'An actor knows another one by its *.protocol.ts only; definitions are injected by the composition root. Types are free.',
      from: { path: '^actors/(job|shard|quorum|device|placement|model-pool|generation|audit|feed|tenant)/' },
      to: {
        path: '^actors/(job|shard|quorum|device|placement|model-pool|generation|audit|feed|tenant)/',
        pathNot: ['^actors/$1/', '\\.protocol\\.ts$'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'sql-in-the-store-only',
      severity: 'error',
      comment: 'SQL and its drivers live in actors/store, runtime/database and the store of runtime/cluster.',
      from: { pathNot: '^(actors/store|runtime/database|runtime/cluster/postgres|tests)/|^mikro-orm\\.config\\.ts$' },
      to: { path: '(^|/)node_modules/(kysely|@mikro-orm|pg)/' },
    },
    {
      name: 'store-verbs-only',
      severity: 'error',
      comment: 'Actors know store.ts; its implementations are wired by the composition root.',
      from: { path: '^actors/', pathNot: '^actors/(store/|coordinator\\.ts$)' },
      to: { path: '^actors/store/(postgres|memory|entities|migrations)' },
    },
    {
      name: 'agent-imports',
      severity: 'error',
      comment: 'agent/ may import runtime/{kernel,link,identity,observe,host,errors} and actors/contract.',
      from: { path: '^agent/' },
      to: {
        path: '^(actors|runtime|bin|ui|scripts|tests)/',
        pathNot: ['^actors/contract/', '^runtime/(kernel|link|identity|observe)/', '^runtime/(host|errors)\\.ts$'],
      },
    },
    {
      name: 'ui-imports',
      severity: 'error',
      comment: 'ui/ may import actors/contract and the browser-safe files of runtime/identity.',
      from: { path: '^ui/src/' },
      to: {
        path: '^(actors|runtime|agent|bin|scripts|tests)/',
        pathNot: ['^actors/contract/', '^runtime/identity/(verify-pure|signature-law|canonical)\\.ts$'],
      },
    },
    {
      name: 'nobody-imports-roots',
      severity: 'error',
      comment: 'Only bin/ starts the composition roots.',
      from: { path: '^(runtime|actors|agent|ui)/' },
      to: { path: '^(bin|scripts|tests)/|^actors/coordinator\\.ts$|^agent/agent\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(ui/dist|examples)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
