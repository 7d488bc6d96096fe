/*
 * An app for measurements: says which version it is, and echoes on upgraded connections. Plain JavaScript without any package, so that it
 * runs in an image with nothing but Node. As a child process it listens on any port and tells it: `listening <port>`.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const [version = 'none', port = '0', address = '127.0.0.1'] = process.argv.slice(2)

const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  res.setHeader('x-version', version)
  res.end(`${version}\n`)
})

server.on('upgrade', (req, socket) => {
  const accept = createHash('sha1')
    .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  socket.on('error', () => undefined)
  socket.pipe(socket)
})

// What drained has had its time: this ends it at once, with every connection it still has.
process.on('SIGTERM', () => process.exit(0))
server.listen(Number(port), address, 1024, () => process.stdout.write(`listening ${server.address().port}\n`))
