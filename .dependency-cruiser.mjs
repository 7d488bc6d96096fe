// Who may import whom (ARCHITECTURE.md, "Structure"). Modules are the folders of nouns below src/.
const layers = [
  ['environments', 'releases', 'vars', 'accounts'],
  ['builds', 'runtime', 'routing', 'protection'],
  ['deploys'],
  ['cron', 'git', 'runs', 'rollbacks', 'promotions', 'deploy-plans'],
]
const modules = layers.flat()
const readers = ['activity', 'status', 'webhooks', 'logs', 'metrics', 'doctor']
const src = (names) => `^src/(${names.join('|')})/`

export default {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'kernel-imports-nothing',
      severity: 'error',
      from: { path: '^src/kernel/' },
      to: { path: '^src/', pathNot: '^src/kernel/' },
    },
    {
      name: 'modules-stay-inside',
      severity: 'error',
      from: { path: src(modules) },
      to: { path: '^src/(adapters|http|cli|server|setup|dashboard|main|config)' },
    },
    {
      name: 'only-the-index-of-a-module',
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: { path: src(modules), pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$'] },
    },
    {
      name: 'main-uses-the-index',
      severity: 'error',
      from: { path: '^src/(main\\.ts$|server/)' },
      to: { path: src(modules), pathNot: '^src/[^/]+/index\\.ts$' },
    },
    ...layers.map((_, i) => ({
      name: `layer-${i}-looks-down`,
      severity: 'error',
      from: { path: src(layers[i]) },
      to: {
        path: src(
          layers
            .slice(i + 1)
            .flat()
            .concat(readers),
        ),
      },
    })),
    {
      name: 'a-deploy-knows-no-level',
      severity: 'error',
      from: { path: '^src/deploys/', pathNot: '^src/deploys/(level/|deploys\\.ts$|index\\.ts$)' },
      to: { path: '^src/deploys/level/' },
    },
    {
      name: 'adapters-know-interfaces',
      severity: 'error',
      from: { path: '^src/adapters/([^/]+)/' },
      to: { path: '^src/', pathNot: ['^src/adapters/$1/', '^src/kernel/', '^src/[^/]+/index\\.ts$'] },
    },
    {
      name: 'outside-things-in-adapters-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/' },
      to: { path: 'node_modules/(dockerode|node-git-server|simple-git|ssh2)/' },
    },
    {
      // Types may be named anywhere in the adapter; what asks the engine something has a time limit there.
      name: 'the-engine-is-asked-in-one-place',
      severity: 'error',
      from: { path: '^src/adapters/docker/', pathNot: '^src/adapters/docker/engine\\.ts$' },
      to: { path: 'node_modules/dockerode/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'pg-in-postgres-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(postgres)/' },
      to: { path: 'node_modules/pg/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js'],
    },
  },
}
