import type { IncomingMessage, ServerResponse } from 'node:http'
import { Git as NodeGitServer } from 'node-git-server'
import type { Principal } from '../../accounts/index.ts'
import { encodePkt, flushPkt, type Git, type GitChild, type GitLimits, type SpawnGit } from '../../git/index.ts'
import { originOf } from '../../kernel/actor.ts'
import { asSlipwayError, SlipwayError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Secret } from '../../kernel/secret.ts'
import { makeSlots } from '../../kernel/slots.ts'
import { answerError, answerText, neverCache } from './answers.ts'
import { readToken } from './credentials.ts'
import { type GitAddress, type GitService, parseGitAddress } from './git-address.ts'
import { receivePack } from './receive-pack.ts'
import { feed, readBody, readUntilEnd, roomIn } from './request-body.ts'

export interface GitHttpOptions {
  readonly git: Git
  readonly spawnGit: SpawnGit
  readonly authenticate: (token: Secret) => Promise<Principal | null>
  readonly maxPushBytes: number
  /** Throws when the disk has no room for a push of so many bytes; 0: nobody knows how many. */
  readonly assertRoom?: (bytes: number) => Promise<void>
  readonly logger: Logger
  /** How long a client may send nothing in the middle of its request; 60 s unless told. */
  readonly idleMs?: number
  /** How long a client may leave an answer unread; 2 minutes unless told. */
  readonly stalledReaderMs?: number
  /** How long git may do nothing while it is its turn; 60 s unless told: it says something every 5 s while it thinks. */
  readonly gitIdleMs?: number
}

/** A fetch's request names commits; the longest histories stay far below. */
const longestFetchBytes = 16 * 1024 * 1024
/** 1 GB, the largest push that is taken, over half a megabit a second; who is slower than that in the end pushes in parts. */
const longestTransferMs = 5 * 60 * 60_000
/** Git children at once: enough for two cores many times over, and 512 MB each at most. */
const slotCounts = { advertise: 16, fetch: 8, push: 8 }

interface Request {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly principal: Principal
  readonly app: string
  readonly service: GitService
  readonly clientGone: AbortSignal
}

/**
 * Git's smart protocol over HTTP. Of node-git-server the class stays and its way of handling requests goes: as published it
 * asks for a token on one of three requests, and a client that hangs up ends the server.
 */
export class GitHttp extends NodeGitServer {
  readonly #options: GitHttpOptions
  readonly #slots = {
    advertise: makeSlots(slotCounts.advertise),
    fetch: makeSlots(slotCounts.fetch),
    push: makeSlots(slotCounts.push),
  }
  readonly #children = new Set<GitChild>()

  constructor(options: GitHttpOptions) {
    super(() => '', { autoCreate: false })
    this.#options = options
  }

  /** For `app.use(…)`, before anything that reads bodies. What is none of Git's business goes on to `next`. */
  readonly middleware = (req: IncomingMessage, res: ServerResponse, next: () => void): void => {
    if (/\.git(?:[/?#]|$)/i.test(req.url ?? '')) this.handle(req, res)
    else next()
  }

  override handle(req: IncomingMessage, res: ServerResponse): void {
    // A client that hangs up is told by 'close'; without listeners its errors would end Slipway.
    req.on('error', () => undefined)
    res.on('error', () => undefined)
    this.#serve(req, res).catch((thrown: unknown) => {
      const error = asSlipwayError(thrown)
      if (error.code === 'internal') this.#options.logger.error('a Git request failed', { url: req.url, error: thrown })
      answerError(req, res, error)
    })
  }

  /** Ends the git children that are left. */
  async stop(): Promise<void> {
    const left = [...this.#children]
    for (const child of left) child.kill()
    await Promise.all(left.map((child) => child.exited))
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const address = parseGitAddress(req.method ?? '', req.url ?? '')
    if (address === null || !('app' in address)) return answerOther(req, res, address)
    const { app, service } = address
    const principal = await this.#authenticate(req)
    const request = { req, res, principal, app, service, clientGone: watchClient(res) }
    if (address.kind === 'advertise') return this.#advertise(request)
    if (req.headers['content-type'] !== `application/x-${service}-request`) {
      throw new SlipwayError('bad_request', 'This is not a request of a Git client.')
    }
    const { idleMs = 60_000, stalledReaderMs = 120_000 } = this.#options
    if (service === 'git-upload-pack') return this.#upload(request, { idleMs, stalledReaderMs })
    const spawnGit = this.#spawn
    const limits = this.#limits()
    const slots = this.#slots.push
    return receivePack({ ...this.#options, spawnGit, limits, slots, idleMs, stalledReaderMs }, request)
  }

  async #authenticate(req: IncomingMessage): Promise<Principal> {
    const token = readToken(req.headers.authorization)
    const principal = token === null ? null : await this.#options.authenticate(token)
    if (principal !== null) return { ...principal, origin: originOf('git', req.headers) }
    throw new SlipwayError('not_signed_in', token === null ? 'A token is needed.' : 'This token is not known here.', {
      hint: 'Give a token as the password (any user name), or sign in once with: slipway login',
    })
  }

  /** Every child is known until it has ended. */
  readonly #spawn: SpawnGit = (args, options) => {
    const child = this.#options.spawnGit(args, options)
    this.#children.add(child)
    void child.exited.then(() => this.#children.delete(child))
    return child
  }

  async #advertise({ req, res, principal, app, service, clientGone }: Request): Promise<void> {
    const { git, stalledReaderMs = 120_000 } = this.#options
    const fetching = service === 'git-upload-pack'
    const path = await (fetching ? git.openFetch(principal, app) : git.openAdvertisement(principal, app))
    const protocol = fetching ? protocolOf(req) : {}
    const release = await this.#slots.advertise.take(clientGone)
    try {
      const child = this.#spawn([service.slice('git-'.length), '--stateless-rpc', '--advertise-refs', path], {
        env: protocol,
        limits: this.#limits(clientGone),
      })
      child.stdin.end()
      neverCache(res)
      res.setHeader('Content-Type', `application/x-${service}-advertisement`)
      const isV2 = /(?:^|:)version=2(?::|$)/.test(protocol['GIT_PROTOCOL'] ?? '')
      if (!isV2) res.write(Buffer.concat([encodePkt(`# service=${service}\n`), flushPkt]))
      await this.#pass(child, { res, stalledReaderMs })
    } finally {
      release()
    }
  }

  async #upload(
    { req, res, principal, app, clientGone }: Request,
    { idleMs, stalledReaderMs }: { idleMs: number; stalledReaderMs: number },
  ): Promise<void> {
    const path = await this.#options.git.openFetch(principal, app)
    const release = await this.#slots.fetch.take(clientGone)
    try {
      const how = { env: protocolOf(req), limits: this.#limits(clientGone) }
      const child = this.#spawn(['upload-pack', '--strict', '--stateless-rpc', path], how)
      neverCache(res)
      res.setHeader('Content-Type', 'application/x-git-upload-pack-result')
      const fed = feed(readBody(req, { maxBytes: longestFetchBytes, idleMs }), child.stdin).catch((error: unknown) => {
        child.kill()
        throw error
      })
      await Promise.all([fed, this.#pass(child, { res, stalledReaderMs })])
    } finally {
      release()
    }
  }

  #limits(signal?: AbortSignal): GitLimits {
    const { gitIdleMs: idleMs = 60_000 } = this.#options
    return { idleMs, totalMs: longestTransferMs, ...(signal === undefined ? {} : { signal }) }
  }

  /** Git's output as it comes; a client that reads nothing ends it. */
  async #pass(
    child: GitChild,
    { res, stalledReaderMs }: { res: ServerResponse; stalledReaderMs: number },
  ): Promise<void> {
    let passed = false
    for await (const chunk of readUntilEnd(child.stdout)) {
      if (res.destroyed) continue
      passed = true
      if (!res.write(chunk) && (await roomIn(res, stalledReaderMs)) === 'stalled') res.destroy()
    }
    const exit = await child.exited
    if (exit.code !== 0 && !res.destroyed) this.#options.logger.info('git ended with an error', { ...exit })
    // Half a pack is never taken for a whole one: it ends in a checksum. Of nothing the client can be told why.
    if (exit.endedFor !== null && !passed && !res.destroyed)
      res.write(encodePkt(`ERR ${exit.endedFor.message} Try again.\n`))
    res.end()
  }
}

/** `Git-Protocol` goes into a child's environment: only what it can be. */
function protocolOf(req: IncomingMessage): Record<string, string> {
  const value = req.headers['git-protocol']
  return typeof value === 'string' && /^version=[12](?::[a-z0-9=-]+)*$/.test(value) && value.length < 100
    ? { GIT_PROTOCOL: value }
    : {}
}

function watchClient(res: ServerResponse): AbortSignal {
  const gone = new AbortController()
  res.on('close', () => {
    if (!res.writableFinished) gone.abort(new SlipwayError('cancelled', 'The client hung up.'))
  })
  return gone.signal
}

function answerOther(req: IncomingMessage, res: ServerResponse, address: GitAddress | null): void {
  if (address?.kind === 'lfs') {
    res.writeHead(501, { 'Content-Type': 'application/vnd.git-lfs+json', Connection: 'close' })
    res.end(JSON.stringify({ message: 'Slipway keeps no Git LFS objects. Keep the files in the repository itself.' }))
    return
  }
  answerText(req, res, 404, 'This address is for Git clients that speak the smart protocol: git clone <address>')
}
