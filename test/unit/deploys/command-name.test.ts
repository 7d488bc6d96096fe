import { describe, expect, it } from '@jest/globals'
import { nameReleaseCommand } from '../../../src/deploys/command-name.ts'

describe('a release command in the log', () => {
  const cases: [string, string, number, string][] = [
    ['migrations', 'python manage.py migrate', 0, 'release.migrations'],
    ['Seed the Shop!', './seed', 1, 'release.seed-the-shop'],
    ['Übersetzungen_de', './translate', 1, 'release.ubersetzungen_de'],
    ['x'.repeat(60), './x', 2, `release.${'x'.repeat(40)}`],
    [`${'a'.repeat(39)} b`, './x', 2, `release.${'a'.repeat(39)}`],
    // Without a label, with one that no name can be made of, and of a Procfile.
    ['python manage.py migrate', 'python manage.py migrate', 0, 'release.1'],
    ['x'.repeat(60), 'x'.repeat(90), 1, 'release.2'],
    ['移行', './migrate', 2, 'release.3'],
    ['../..', './migrate', 0, 'release.1'],
    ['release', 'python manage.py migrate', 0, 'release.1'],
  ]
  it.each(cases)('is called by its label: %s', (label, run, position, name) => {
    expect(nameReleaseCommand({ label, run }, position)).toBe(name)
  })
})
