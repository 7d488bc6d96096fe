import { request } from 'node:http'
import type { BenchServer } from './server.ts'

/** One call of Slipway's API, by its name at the proxy. Rejects with what the server says when it refuses. */
export function callApi(server: BenchServer, method: string, path: string, body: unknown): Promise<void> {
  return new Promise((done, fail) => {
    const headers = {
      host: 'slipway.localhost',
      authorization: `Bearer ${server.token}`,
      'content-type': 'application/json',
    }
    const req = request({ port: server.port, host: '127.0.0.1', path: `/api/v1/${path}`, method, headers }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk: string) => (text += chunk))
      res.on('end', () => {
        if ((res.statusCode ?? 500) < 300) done()
        else fail(new Error(`${method} ${path}: ${res.statusCode ?? 0} ${text}`))
      })
    })
    req.on('error', fail)
    req.end(JSON.stringify(body))
  })
}
