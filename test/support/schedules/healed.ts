import { compareRoutes } from '../../../src/deploys/level/compare-routes.ts'
import type { InstanceRecord, Route } from '../../../src/deploys/instances.ts'
import { routesOf } from '../../../src/deploys/routes-of.ts'
import type { DeployRow } from '../memory-database/tables.ts'
import { environmentIds } from './history.ts'
import { addresses } from './life.ts'
import type { World } from './world.ts'

/** What is not over yet, or left over; empty when everything has come to rest. */
export async function findUnrest(world: World): Promise<string[]> {
  const { database, engine, router } = world
  const { tables } = database
  const work = world.look()
  const told: string[] = []
  for (const d of tables.deploys.select(work, ({ finished_at }) => finished_at === null))
    told.push(`deploy ${d.id} is ${d.state} in ${d.step}, held by ${d.lease_owner}`)
  if (told.length > 0) return told
  const instances = tables.instances.select(work, ({ state }) => state !== 'retired')
  for (const i of instances.filter(({ state }) => state !== 'serving')) told.push(`instance ${i.id} is ${i.state}`)
  const wanted = new Set(instances.map((i) => i.container_id))
  for (const [id, { instance }] of engine.containers) if (!wanted.has(id)) told.push(`${instance.name} is left over`)
  for (const id of engine.building.keys()) told.push(`build ${id} has a container`)
  const built = new Set(tables.builds.select(work, ({ state }) => state === 'succeeded').map(({ id }) => id))
  for (const id of engine.images.keys()) if (!built.has(id)) told.push(`build ${id} has an image`)
  for (const b of tables.builds.select(work, ({ state }) => ['waiting', 'running'].includes(state)))
    told.push(`build ${b.id} is ${b.state}`)
  const held = tables.addresses.select(work, (a) => a.instance_id !== null).length
  if (held !== instances.length) told.push(`${held} addresses are taken`)
  const routes = await database.query<Route>(
    `select t.environment_id as "environmentId", e.label, e.live, t.release_id as "releaseId", r.number as "releaseNumber",
       t.deploy_id as "deployId", e.state = 'stopped' as "isStopped",
       case when o.id is not null then json_build_object('releaseId', o.id, 'number', o.number) end as "startedFor"
     from routes t join environments e on e.id = t.environment_id join releases r on r.id = t.release_id
     left join deploys w on w.id = t.deploy_id left join releases o on o.id = w.release_id and o.id <> t.release_id`,
  )
  const members = instances.map((i) => {
    const [ad] = tables.addresses.select(work, (a) => a.instance_id === i.id)
    const { deploy_id: deployId, process, position } = i
    return { deployId, process, position, address: ad?.address ?? null, port: i.port, state: i.state }
  }) as InstanceRecord[]
  const all = members.map((member) => ({ ...member, downSince: null }))
  told.push(
    ...compareRoutes(routesOf({ routes, instances: all, exposures: new Map(), hosts: addresses }), await router.read()),
  )
  return told
}

/** What may never be, told when everything has come to rest. */
export function checkHealed(world: World): void {
  const { database, engine, violate, wentLive } = world
  const { tables } = database
  const work = world.look()
  for (const environmentId of environmentIds) {
    const last = wentLive.get(environmentId)?.at(-1)
    const [route] = tables.routes.select(work, (row) => row.environment_id === environmentId)
    if (route?.release_id !== last) violate(`environment ${environmentId} serves ${route?.release_id}, not ${last}`)
    if (last === undefined) continue
    const serving = tables.instances.select(work, (i) => i.release_id === last && i.state === 'serving')
    if (serving.length !== 1) violate(`release ${last} has ${serving.length} serving instances`)
    for (const { container_id } of serving) {
      const container = engine.containers.get(container_id ?? '')
      if (container?.instance.state !== 'running') violate(`the instance of release ${last} does not run`)
      if (!engine.kept.has(container_id ?? '')) violate(`the engine does not keep the instance of release ${last}`)
    }
  }
  for (const [name, count] of engine.commandsBegun) if (count > 1) violate(`${name} ran ${count} times`)
  for (const deploy of tables.deploys.select(work, () => true)) checkDeploy(world, deploy)
}

function checkDeploy(world: World, deploy: DeployRow): void {
  const { database, violate } = world
  const lines = database.tables.log(deploy.id).select(world.look(), () => true)
  const log = lines.toSorted((a, b) => a.seq - b.seq)
  if (log.some(({ seq }, i) => seq !== i + 1)) violate(`the log of deploy ${deploy.id} has a gap`)
  const machine = log.filter(({ kind }) => kind === 'machine')
  if (machine.length !== 1 || log.at(-1)?.kind !== 'machine' || !machine[0]?.text.endsWith(`status=${deploy.state}`))
    violate(`deploy ${deploy.id} is ${deploy.state}, and its log says: ${machine.map(({ text }) => text).join(', ')}`)
  if (deploy.error_code === 'internal' || deploy.error_code === 'conflict')
    violate(`deploy ${deploy.id} failed inside: ${deploy.error_message}`)
  const outputs = log.filter(({ text }) => text.startsWith('output of')).map(({ text }) => text)
  if (new Set(outputs).size < outputs.length) violate(`the log of deploy ${deploy.id} has a command's output twice`)
  // Whoever cancelled it was told that it ends.
  if (deploy.state === 'live' && deploy.cancel_requested_at !== null)
    violate(`deploy ${deploy.id} went live, cancelled`)
  if (deploy.state !== 'superseded') return
  const [by] = database.tables.deploys.select(world.look(), ({ id }) => id === deploy.superseded_by)
  const isPush = deploy.kind === 'push' && by?.kind === 'push' && by.environment_id === deploy.environment_id
  if (!isPush || by.id < deploy.id)
    violate(`deploy ${deploy.id} (${deploy.kind}) was replaced by ${by?.id} (${by?.kind})`)
  if (!log.some(({ text }) => text.includes(`deploy ${by?.id} `))) violate(`deploy ${deploy.id} was not told by which`)
}
