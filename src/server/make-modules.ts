import { join } from 'node:path'
import { makeAccounts } from '../accounts/index.ts'
import { makeActivity } from '../activity/index.ts'
import { makeBuilder } from '../adapters/docker/index.ts'
import { makeGitCli } from '../adapters/git-cli/git-cli.ts'
import { makeBuilds, tryHoldImage } from '../builds/index.ts'
import { makeCron } from '../cron/index.ts'
import { makeDeployReads, makeDeploys, makeLocks, makeProcesses } from '../deploys/index.ts'
import { makeEnvironments } from '../environments/index.ts'
import { makeGit } from '../git/index.ts'
import { systemClock } from '../kernel/clock.ts'
import { makeMutex } from '../kernel/mutex.ts'
import { makeSlots } from '../kernel/slots.ts'
import { makeLogs } from '../logs/index.ts'
import { makeDeployPlans } from '../deploy-plans/index.ts'
import { makePromotions } from '../promotions/index.ts'
import { copyProtection, makeMaintenance, makeProtections } from '../protection/index.ts'
import { makeReleases } from '../releases/index.ts'
import { makeRemovals } from '../removals/index.ts'
import { makeAddresses, passwordHash } from '../routing/index.ts'
import { makeRollbacks } from '../rollbacks/index.ts'
import { makeRuns } from '../runs/index.ts'
import { makeStatuses } from '../status/index.ts'
import {
  makeKeyRotation,
  makeFreshness,
  makeMasks,
  makeReleaseVariables,
  makeRevocation,
  makeSecretsSource,
  makeVars,
} from '../vars/index.ts'
import { buildSettings } from './build-settings.ts'
import type { Ground } from './lay-ground.ts'
import { makeNights, makeUpkeep } from './upkeep.ts'

/** What is refused in good time has a floor of its own; below this not even an engine’s answer can be written. */
const leastFreeBytes = 64 * 1024 ** 2

export type Modules = ReturnType<typeof makeModules>
type Nouns = ReturnType<typeof makeNouns>
type Building = ReturnType<typeof makeBuilding>
type Serving = ReturnType<typeof makeServing>

/** All modules, lowest layer first; what a layer is given comes from those above it here. Nothing runs yet. */
export function makeModules(ground: Ground) {
  const nouns = makeNouns(ground)
  const building = makeBuilding(ground)
  const serving = makeServing(ground, nouns, building)
  return { ...nouns, ...building, ...serving, ...makeAround(ground, { ...nouns, ...building, ...serving }) }
}

/** Apps, environments, their variables and addresses; who may do what. */
function makeNouns({ settings, secrets, db, keys, logger, stop }: Ground) {
  const addresses = makeAddresses(settings)
  const isReserved = (label: string): boolean => addresses.environmentHost(label) === settings.controlHost
  const masks = makeMasks(makeSecretsSource({ db, keys }))
  const vars = makeVars({ db, keys, masks })
  const freshness = makeFreshness()
  const keepSecretKey = secrets.keepInstallationKey
  return {
    addresses,
    masks,
    vars,
    freshness,
    variables: makeReleaseVariables({ db, keys, masks, freshness }),
    rotation: makeKeyRotation({ db, keys, keepSecretKey, logger, closing: stop.signal }),
    environments: makeEnvironments({ db, copyVariables: vars.copyVariables, copyProtection, isReserved }),
    accounts: makeAccounts({ db }),
  }
}

/** From a commit to an image, and what keeps the host from filling up. */
function makeBuilding({ settings, root, db, engine, runtime, logger }: Ground) {
  const gitCli = makeGitCli({ ...settings, hooksDir: join(root, 'hooks') })
  const { installation } = settings
  const network = runtime.networks.builds.name
  const builder = makeBuilder({ engine, installation, network, minFreeBytes: leastFreeBytes, logger })
  const upkeep = makeUpkeep({ settings, db, engine, logger }, builder)
  const { source } = gitCli
  const builds = makeBuilds({ db, source, builder, settings: buildSettings(settings), disk: upkeep.disk })
  return { gitCli, builder, builds, ...upkeep }
}

/** What runs: deploys and their instances, what is run beside them, their output, who is let in. */
function makeServing(ground: Ground, { addresses, masks, variables, freshness }: Nouns, { builds, memory }: Building) {
  const { settings, db, keys, runtime, proxy, range, logger } = ground
  const clock = systemClock
  const logs = makeLogs({
    ...{ db, masks, runtime, clock, logger },
    requests: proxy.requests,
    folder: join(settings.dataDir, 'logs', 'environments'),
    limits: settings.logs,
  })
  const runs = makeRuns({
    ...{ db, runtime, logger },
    limits: settings.runs,
    readOneOff: (environmentId, runId) => deploys.oneOff(environmentId, runId),
  })
  const deploys = makeDeploys({
    ...{ db, place: db, builds, masks, variables, memory, runs, addresses, range, clock, logger },
    runtime: logs.runtime,
    failedAnswers: logs.failedAnswers,
    router: proxy.router,
    releaseIdleMs: settings.releaseIdleMs,
    onLive: (tx, live) => cron.replaceJobs(tx, live),
    whileRoutesHold: makeMutex(),
    installation: settings.installation,
    installationKey: keys.derivation,
  })
  const protection = makeProtections({
    db,
    hash: async (credentials) => passwordHash(await proxy.passwordKey(), credentials),
    apply: (environmentId) => deploys.applyExposure(environmentId),
  })
  const cron = makeCron({
    ...{ db, place: db, deploys, masks, memory, clock, logger },
    runtime: logs.runtime,
    slots: makeSlots(settings.cronSlots),
    note: (at, text) => logs.note(at, text),
  })
  const processes = makeProcesses({ db, deploys })
  const revocation = makeRevocation({
    ...{ db, keys, masks, freshness },
    endBegun: (tx, begun) => deploys.endBegun(tx, begun),
    afterTaken: (releaseIds) => deploys.afterTaken(releaseIds),
  })
  const mask = async (id: number, text: string): Promise<string> => (await masks.ofEnvironment(id)).mask(text)
  const locks = makeLocks({ db, deploys, mask })
  const maintenance = makeMaintenance({ db, apply: (id) => deploys.applyExposure(id), mask })
  return { logs, runs, deploys, processes, revocation, locks, protection, maintenance, cron }
}

/** What drives those: pushes, removals, nights; and what only reads. */
function makeAround({ settings, db, engine, logger }: Ground, below: Nouns & Building & Serving) {
  const { environments, deploys, images, builder, builds, retention, cron, runs, logs, vars, variables } = below
  const { repositories } = below.gitCli
  const git = makeGit({ db, environments, deploys, repositories, logger })
  const removals = makeRemovals({
    ...{ db, environments, deploys, images, builder, git, clock: systemClock, logger },
    endJobs: async (id, signal) => void (await Promise.all([cron.end(id, signal), runs.end(id)])),
    removeLogs: (environment) => logs.journals.remove(environment),
  })
  const releases = makeReleases({ db, tryHoldImage })
  const nightly = makeNights({ settings, db, engine, logger }, { retention, git, environments })
  return {
    git,
    removals,
    nightly,
    reads: makeDeployReads({ db }),
    releases,
    rollbacks: makeRollbacks({ db, deploys, releases, builds, vars }),
    deployPlans: makeDeployPlans({ db, releases, builds, vars, variables }),
    promotions: makePromotions({ db, deploys, releases, builds, vars, variables }),
    statuses: makeStatuses({ db, commits: repositories, logger }),
    activity: makeActivity({ db }),
  }
}
