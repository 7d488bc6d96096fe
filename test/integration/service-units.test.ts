import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from '@jest/globals'
import { renderSettings, renderUnits, settingsFile } from '../../src/setup/service/units.ts'

const run = promisify(execFile)
const root = resolve(__dirname, '../..')
/** Debian's package systemd; a machine without it says so here. */
const analyze = '/usr/bin/systemd-analyze'

const onlyWithSystemd = existsSync(analyze) ? it : it.skip

onlyWithSystemd('systemd understands every line of the units', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'slipway-units-'))
  try {
    await writeFile(settingsFile(dataDir), renderSettings({ SLIPWAY_DATA: dataDir }))
    for (const installation of ['default', 'two']) {
      const units = renderUnits({ installation, dataDir, root, node: process.execPath, ownPostgres: true })
      for (const { name, text } of units) await writeFile(join(dataDir, name), text)
      const paths = units.map(({ name }) => join(dataDir, name))
      const { stdout, stderr } = await run(analyze, ['verify', '--man=no', '--recursive-errors=no', ...paths], {
        env: { ...process.env, SYSTEMD_UNIT_PATH: `${dataDir}:/lib/systemd/system` },
      })
      expect(`${stdout}${stderr}`).toBe('')
    }
  } finally {
    await rm(dataDir, { recursive: true })
  }
})
