import type { RequestHandler } from 'express'
import { escapeHtml } from './escape-html.ts'
import type { Facts } from './needs.ts'
import { policyWithStyle } from './security-headers.ts'

const css =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#222}' +
  'pre{background:#f3f3f3;padding:.8rem;overflow:auto}' +
  '@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#262626}a{color:#8bf}}'

/** What a person sees who opens the server's address in a browser. */
export function makeFrontPage(facts: Facts): RequestHandler {
  const url = escapeHtml(facts.urls.control)
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Slipway</title>
<style>${css}</style>
<h1>Slipway</h1>
<p>A deploy server, version ${escapeHtml(facts.version)}. A push to its Git server goes live here.</p>
<pre>slipway login ${url}
slipway apps create shop
git remote add divio ${escapeHtml(facts.urls.git('shop'))}
git push divio HEAD</pre>
<p>The HTTP API is below <code>/api/v1</code> and described by <a href="/api/v1/openapi.json">openapi.json</a>.
Send your token as <code>Authorization: Bearer …</code>.</p>
</html>
`
  return (_req, res) => {
    res.setHeader('Content-Security-Policy', policyWithStyle(css))
    res.status(200).type('html').send(page)
  }
}
