import { type Build, type BuiltImage, type ProcessConfig, processesOf, type ReleaseCommand } from '../builds/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import { getRelease } from '../releases/index.ts'
import { type ChosenPort, choosePort, type InstanceSpec, labelNames } from '../runtime/index.ts'
import { type GivenVariables, systemVariables } from '../vars/index.ts'
import { nameReleaseCommand } from './command-name.ts'
import { type Deploy, isOfSameRelease } from './deploy.ts'
import { haveAddresses } from './exposures.ts'
import { findExposures } from './exposures-store.ts'
import { type InstanceRecord, isWeb } from './instances.ts'
import type { Tools } from './steps/step.ts'

/** A release as containers need it: what image, on which port, with which variables and limits. */
export interface ReleaseSpec {
  readonly releaseId: number
  readonly number: number
  readonly build: Build
  readonly image: BuiltImage
  readonly port: ChosenPort
  readonly processes: readonly ProcessConfig[]
  instance(which: Pick<InstanceRecord, 'process' | 'position' | 'address'>): InstanceSpec
  /** The container of a release command; `position` from 0. */
  command(command: ReleaseCommand, position: number): InstanceSpec
  /** The container of a command that somebody runs. */
  run(id: string): InstanceSpec
  /** The container of one run of a job. */
  job(run: { readonly runId: number; readonly label: string }): InstanceSpec
}

export async function readReleaseSpec(
  deploy: Deploy,
  tools: Pick<Tools, 'db' | 'builds' | 'variables' | 'addresses' | 'installation' | 'installationKey'>,
): Promise<ReleaseSpec> {
  if (deploy.releaseId === null) throw new SlipwayError('internal', `Deploy ${deploy.id} has no release yet.`)
  // The deploy's own build is the release's, as long as nothing but deploys makes releases.
  const [release, own, given, exposures] = await Promise.all([
    getRelease(tools.db, deploy.releaseId),
    deploy.buildId === null ? null : tools.builds.get(deploy.buildId),
    tools.variables?.ofRelease(deploy.releaseId) ?? noVariables,
    findExposures(tools.db, deploy.environmentId),
  ])
  const { values: users, revision, startUnlessRefused } = given
  const build = own?.id === release.buildId ? own : await tools.builds.get(release.buildId)
  const image = build.image
  if (image === null) throw new SlipwayError('internal', `Build ${build.id} has no image.`)
  const port = choosePort(build.config, image, users['PORT']?.reveal() ?? null)
  const system = systemVariables(
    {
      app: deploy.app,
      environment: deploy.environment,
      environmentId: deploy.environmentId,
      live: deploy.live,
      releaseNumber: release.number,
      branch: deploy.branch,
      commit: deploy.commit,
      port: port.port,
      domain: tools.addresses.environmentHost(deploy.label),
      domainAliases: haveAddresses(deploy, exposures)
        ? [tools.addresses.releaseHost(deploy.label, release.number)]
        : [],
    },
    tools.installationKey,
  )
  const processes = processesOf(build.config)
  // `slw-default-test--shop-v12-1`, `…-v12-worker-1`: who reads `docker ps` knows what it is.
  const version = isOfSameRelease(deploy.kind) ? `v${release.number}-d${deploy.id}` : `v${release.number}`
  const container = (
    name: string,
    kind: 'instance' | 'command' | 'cron' | 'run',
    address: string | null,
  ): InstanceSpec => ({
    name: `slw-${tools.installation}-${deploy.label}-${version}-${name}`,
    image: image.digest,
    labels: {
      [labelNames.installation]: tools.installation,
      [labelNames.app]: deploy.app,
      [labelNames.environment]: deploy.environment,
      [labelNames.release]: String(release.id),
      [labelNames.version]: `v${release.number}`,
      // Jobs and runs go on when the instances of their deploy are retired.
      ...(kind === 'cron' || kind === 'run' ? {} : { [labelNames.deploy]: String(deploy.id) }),
      [labelNames.kind]: kind,
      ...(revision === null ? {} : { [labelNames.variables]: revision }),
    },
    startUnlessRefused,
    // A user's value wins.
    env: { ...system, ...users },
    address,
    limits: build.config.resources,
  })
  return {
    releaseId: release.id,
    number: release.number,
    build,
    image,
    port,
    processes,
    command(command, position) {
      // Found again by its name, whatever its label.
      const { labels, ...spec } = container(`command-${position + 1}`, 'command', null)
      return { ...spec, labels: { ...labels, [labelNames.process]: nameReleaseCommand(command, position) } }
    },
    run(id) {
      const { labels, ...spec } = container(`run-${id}`, 'run', null)
      return { ...spec, labels: { ...labels, [labelNames.run]: id } }
    },
    job({ runId, label }) {
      const { labels, ...spec } = container(`cron-${runId}`, 'cron', null)
      const its = { [labelNames.process]: `cron.${label}`, [labelNames.cronRun]: String(runId) }
      return { ...spec, labels: { ...labels, ...its } }
    },
    instance({ process, position, address }) {
      const name = isWeb({ process }) ? String(position) : `${process}-${position}`
      const { labels, ...spec } = container(name, 'instance', address)
      const run = processes.find((one) => one.name === process)?.run ?? null
      return {
        ...spec,
        labels: { ...labels, [labelNames.process]: process, [labelNames.position]: String(position) },
        ...(run === null ? {} : { argv: ['/bin/sh', '-c', run] }),
      }
    },
  }
}

const noVariables: GivenVariables = {
  values: {},
  revision: null,
  startUnlessRefused: (start) => start().then(() => null),
}
