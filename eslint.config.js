import tseslint from 'typescript-eslint'

const noShell =
  'Arguments are lists, never shell strings: use spawn/execFile with an array and put outside values after "--" or "--end-of-options".'

export default tseslint.config(
  { ignores: ['node_modules/**'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    files: ['**/*.ts', '**/*.mjs', '**/*.js'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'ImportDeclaration[source.value=/^(node:)?child_process$/] ImportSpecifier[imported.name=/^(exec|execSync)$/]',
          message: noShell,
        },
        { selector: "Property[key.name='shell'][value.value!=false]", message: noShell },
        {
          selector:
            'CallExpression[callee.name=/^(spawn|spawnSync|execFile|execFileSync|run)$/] > TemplateLiteral:first-child[expressions.length>0]',
          message: noShell,
        },
      ],
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Settings are read in src/config.ts only.' },
      ],
      'max-lines-per-function': ['warn', { max: 90, skipBlankLines: true, skipComments: true }],
      'max-params': ['warn', 4],
    },
  },
  {
    files: ['src/config.ts', 'src/cli/**', 'src/setup/**', 'test/**'],
    rules: { 'no-restricted-properties': 'off' },
  },
  { files: ['test/**'], rules: { 'max-lines-per-function': 'off' } },
)
