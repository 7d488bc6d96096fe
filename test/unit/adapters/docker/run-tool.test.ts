import { describe, expect, it } from '@jest/globals'
import { runTool } from '../../../../src/adapters/docker/run-tool.ts'

describe('a program of the system’s administration', () => {
  it('gives its output and takes input', async () => {
    expect(await runTool('cat', [], 'hello\n')).toBe('hello\n')
  })
  it('that is missing is told with what to install', async () => {
    await expect(runTool('no-such-program', [])).rejects.toMatchObject({
      code: 'unavailable',
      message: 'The program no-such-program is not on this machine.',
    })
  })
  it('that fails says why', async () => {
    await expect(runTool('sh', ['-c', 'echo no such chain >&2; exit 1'])).rejects.toMatchObject({
      code: 'unavailable',
      message: 'sh failed: no such chain',
    })
  })
  it('that may not be run says how', async () => {
    // iptables is refused to everybody but root; `sh` says the same here, whoever we are.
    const refused = runTool('sh', ['-c', 'echo "Fatal: can’t open lock file: Permission denied" >&2; exit 4'])
    await expect(refused).rejects.toMatchObject({
      hint: 'Run Slipway as root (sudo npm start): the firewall around apps and builds needs it.',
    })
  })
})
