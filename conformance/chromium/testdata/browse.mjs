// Chromium, told by lines of JSON what to do, each answered by one:
//   {"link": URL, "plain": true, "steps": [{"fill": {selector: text}, "click": selector, "until": selector} or {"keys": [key or text]}]}
// Each line is a person of their own, with no cookies; plain is one whose browser runs no
// scripts. Every step has to lead to another page, or with until, which may stand alone, to
// something that shows on the same one. The answer has the pages, and what the browser
// complained of, but for requests that a page left under way.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { inflate, setupLambdaEnvironment } from '@sparticuz/chromium'
import puppeteer from 'puppeteer-core'

const packed = (name) => inflate(join(import.meta.dirname, 'node_modules/@sparticuz/chromium/bin', name))
const [executablePath] = await Promise.all(['chromium.br', 'al2023.tar.br', 'fonts.tar.br'].map(packed))
setupLambdaEnvironment(join(tmpdir(), 'al2023/lib')) // the libraries it needs come with it
// So do fonts, without which no text shows, but their configuration looks for them in /tmp.
process.env.FONTCONFIG_FILE = join(tmpdir(), 'fonts.conf')
writeFileSync(process.env.FONTCONFIG_FILE, `<fontconfig><dir>${tmpdir()}/fonts</dir><cachedir>${tmpdir()}/fonts-cache</cachedir></fontconfig>`)
// Its sandbox needs an ordinary user. The pages are the tests' own, and nothing beyond
// this machine is looked for.
const here = ['127.0.0.1', 'localhost']
const wait = 60_000 // as long as all tests wait (server.Wait)
const names = '--host-resolver-rules=MAP * ~NOTFOUND, ' + here.map((h) => `EXCLUDE ${h}`).join(', ')
const browser = await puppeteer.launch({ executablePath, headless: 'shell', pipe: true, timeout: wait, args: ['--no-sandbox', names] })
const keys = new Set(['Tab', 'Enter', 'Space'])

async function walk({ link, plain, steps }) {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  page.setDefaultTimeout(wait)
  const pages = [], complaints = []
  page.on('console', (m) => complaints.push(m.text()))
  page.on('requestfailed', (r) => r.failure().errorText !== 'net::ERR_ABORTED' && here.includes(new URL(r.url()).hostname) && complaints.push(`${r.url()}: ${r.failure().errorText}`))
  const look = async (response) => {
    await page.bringToFront()
    await page.waitForFunction(() => document.body.innerText.trim(), { polling: 50 }) // it is drawn, and takes keys
    pages.push({ url: page.url(), status: response?.status() ?? 0, title: await page.title(), text: await page.$eval('body', (b) => b.innerText) })
  }
  try {
    await page.setJavaScriptEnabled(!plain)
    await look(await page.goto(link))
    for (const step of steps) {
      for (const [at, text] of Object.entries(step.fill ?? {})) await (await page.waitForSelector(at)).type(text)
      for (const key of step.keys?.slice(0, -1) ?? []) await (keys.has(key) ? page.keyboard.press(key) : page.keyboard.type(key))
      if (step.click) await page.waitForSelector(step.click)
      const shown = () => (step.until ? page.waitForSelector(step.until).then(() => undefined) : page.waitForNavigation())
      const [response] = await Promise.all([shown(), step.click ? page.click(step.click) : step.keys && page.keyboard.press(step.keys.at(-1))])
      await look(response)
    }
  } catch (error) {
    const text = await page.$eval('body', (b) => b.innerText).catch(() => '')
    complaints.push(`after ${page.url()}: ${error}; it shows ${text}`)
  }
  await context.close()
  return { pages, complaints }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await walk(JSON.parse(line))))
await browser.close()
