import { chown } from 'node:fs/promises'
import { join } from 'node:path'
import { readUse } from '../adapters/docker/index.ts'
import { GitHttp } from '../adapters/git-http/git-http.ts'
import { examine } from '../doctor/index.ts'
import { makeHttpApp } from '../http/app.ts'
import { makeAttachments } from '../http/attachments.ts'
import { makeRunningReleases } from '../http/running-releases.ts'
import { makeReleaseDoor } from '../http/release-door.ts'
import { startHttpServer } from '../http/server.ts'
import { makeDoctorChecks } from './doctor-checks.ts'
import { footingsOf } from './footings.ts'
import type { Ground } from './lay-ground.ts'
import type { Modules } from './make-modules.ts'
import { readOwnVersion } from './version.ts'

/** How long open requests to Slipway itself may take to finish when it stops. */
const closeGraceMs = 2_000

/** Slipway's own HTTP server, behind the proxy: API, Git, health. */
export async function openDoors(ground: Ground, modules: Modules): Promise<{ close(): Promise<void> }> {
  const { settings, root, secrets, logger, db, engine, runtime, proxy, stop } = ground
  const { accounts, addresses, deploys, disk, git, gitCli, reads, runs } = modules
  await accounts.setAdminToken(secrets.adminToken)
  const gitHttp = new GitHttp({
    git,
    spawnGit: gitCli.spawnGit,
    authenticate: accounts.authenticate,
    maxPushBytes: settings.maxPushBytes,
    assertRoom: (bytes) => disk.assertForPush(bytes),
    logger,
  })
  const controlUrl = addresses.url(settings.controlHost)
  const { repositories } = gitCli
  const app = makeHttpApp({
    ...modules,
    db,
    gitHandler: gitHttp.middleware,
    setDefaultBranch: (name, branch, by) => git.setDefaultBranch(name, branch, by),
    commits: { ...repositories, tipOf: repositories.resolveBranch },
    running: makeRunningReleases({ reads, deploys, runtime, readUse: (id) => readUse(engine, id) }),
    runtimeLogs: modules.logs,
    facts: {
      version: await readOwnVersion(root),
      domain: settings.domain,
      urls: {
        control: controlUrl,
        git: (name) => `${controlUrl}/${name}.git`,
        environment: (label) => addresses.url(addresses.environmentHost(label)),
        release: (label, number) => addresses.url(addresses.releaseHost(label, number)),
      },
    },
    readiness: footingsOf(ground),
    examine: () => examine(makeDoctorChecks({ settings, engine, server: { db, router: proxy.router, runtime } })),
    logger,
    closing: stop.signal,
  })
  // Pushes find their hooks' listener, and what a crash left of earlier ones is finished, before any is let in.
  await git.start()
  const socketPath = join(settings.dataDir, 'run', 'http.sock')
  const attachments = makeAttachments({ accounts, runs, logger })
  const server = await startHttpServer(app, { socketPath, mode: 0o600 }, attachments)
  const releasesPath = join(settings.dataDir, 'run', 'releases.sock')
  const releaseDoor = makeReleaseDoor({ askFor: (host) => deploys.askForRelease(host), logger })
  const releases = await startHttpServer(releaseDoor, { socketPath: releasesPath, mode: 0o600 })
  for (const path of [socketPath, releasesPath])
    if (proxy.owner !== null) await chown(path, proxy.owner.uid, proxy.owner.gid)
  return {
    async close() {
      // Hooks first: they tell their pushers that the deploy goes on, while the connection still stands.
      git.stop()
      await Promise.all([server, releases].map((one) => one.close(closeGraceMs)))
      await gitHttp.stop()
    },
  }
}
