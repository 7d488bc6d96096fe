import { asInstance, inspectContainer, listOwn } from '../../src/adapters/docker/containers.ts'
import { makeEngine } from '../../src/adapters/docker/index.ts'
import { readInstanceLog } from '../../src/adapters/docker/instance-logs.ts'
import { makeContainerWatch } from '../../src/adapters/docker/watch-containers.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { makeTestCollector } from './kept-logs.ts'

/*
 * A process that collects and nothing else, to be killed or measured: `node collect.ts <socket> <installation> <folder>`. Says
 * `collecting` when it has begun. Of the runtime it has what only looks: no firewall is written.
 */

const [socketPath = '', installation = '', folder = ''] = process.argv.slice(2)
const engine = makeEngine({ socketPath })
const watch = makeContainerWatch({ engine, installation, logger: silentLogger, onBegun: () => undefined })
makeTestCollector(
  {
    watch,
    readLog: (id, options) => readInstanceLog(engine, id, options),
    list: () => listOwn(engine, installation),
    async inspect(id) {
      const found = await inspectContainer(engine, id)
      return found === null ? null : asInstance(found)
    },
  },
  folder,
).start()
process.stdout.write('collecting\n')
