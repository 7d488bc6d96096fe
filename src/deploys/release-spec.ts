import type { Build, BuiltImage } from '../builds/index.ts'
import { SlipwayError } from '../kernel/errors.ts'
import type { Secret } from '../kernel/secret.ts'
import { getRelease } from '../releases/index.ts'
import { type ChosenPort, choosePort, type InstanceSpec, labelNames } from '../runtime/index.ts'
import { systemVariables } from '../vars/index.ts'
import type { Deploy } from './deploy.ts'
import type { Tools } from './steps/step.ts'

/** A release as containers need it: what image, on which port, with which variables and limits. */
export interface ReleaseSpec {
  readonly releaseId: number
  readonly number: number
  readonly build: Build
  readonly image: BuiltImage
  readonly port: ChosenPort
  /** The container of one instance (or, with a name of its own, of a release command). */
  container(which: { name: string; kind: 'instance' | 'command'; address: string | null }): InstanceSpec
}

export async function readReleaseSpec(
  deploy: Deploy,
  tools: Pick<Tools, 'db' | 'builds' | 'variables' | 'addresses' | 'installation' | 'installationKey'>,
): Promise<ReleaseSpec> {
  if (deploy.releaseId === null) throw new SlipwayError('internal', `Deploy ${deploy.id} has no release yet.`)
  // The deploy's own build is the release's, as long as nothing but deploys makes releases.
  const [release, own, users] = await Promise.all([
    getRelease(tools.db, deploy.releaseId),
    deploy.buildId === null ? null : tools.builds.get(deploy.buildId),
    tools.variables?.ofRelease(deploy.releaseId) ?? noVariables,
  ])
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
      domainAliases: [],
    },
    tools.installationKey,
  )
  return {
    releaseId: release.id,
    number: release.number,
    build,
    image,
    port,
    container: ({ name, kind, address }) => ({
      name: containerName(tools.installation, deploy.label, release.number, name),
      image: image.digest,
      labels: {
        [labelNames.installation]: tools.installation,
        [labelNames.app]: deploy.app,
        [labelNames.environment]: deploy.environment,
        [labelNames.release]: String(release.id),
        [labelNames.deploy]: String(deploy.id),
        [labelNames.kind]: kind,
      },
      // A user's value wins.
      env: { ...system, ...users },
      address,
      limits: build.config.resources,
    }),
  }
}

const noVariables: Readonly<Record<string, Secret>> = {}

/** `slw-default-test--shop-v12-1`: who reads `docker ps` knows what it is. */
function containerName(installation: string, label: string, releaseNumber: number, name: string): string {
  return `slw-${installation}-${label}-v${releaseNumber}-${name}`
}
