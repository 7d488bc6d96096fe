import { makeFakeRuntime } from '../../support/fake-runtime.ts'
import { describeRuntime } from '../../support/runtime-contract.ts'

describeRuntime('the fake', async () => {
  const runtime = makeFakeRuntime()
  let next = 10
  return {
    runtime,
    spec(fields = {}) {
      next += 1
      return {
        name: `shop-${next}`,
        image: `sha256:${'a'.repeat(64)}`,
        labels: { 'slipway.release': String(next), 'slipway.deploy': String(next) },
        env: {},
        address: `10.0.0.${next}`,
        limits: { memoryBytes: 64 * 1024 * 1024, cpus: 1, pids: 64 },
        ...fields,
      }
    },
    addForeign: async (name) => runtime.addForeign(name),
    foreignIsUntouched: async (name) => runtime.names().includes(name),
    dispose: async () => {},
  }
})
