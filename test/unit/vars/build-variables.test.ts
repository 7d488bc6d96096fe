import { describe, expect, it } from '@jest/globals'
import { Secret } from '../../../src/kernel/secret.ts'
import { listOtherBuildVariables } from '../../../src/vars/build-variables.ts'

const variable = (name: string, mark: string, build = true) => {
  return { name, value: new Secret('x'), secret: false, build, mark: Buffer.from(mark) }
}

describe('variables that an image was built with otherwise', () => {
  it('are those with another value, or on one side only; what is not for the build does not count', () => {
    const built = [variable('SAME', 'a'), variable('OTHER', 'a'), variable('GONE', 'a'), variable('RUN', 'a', false)]
    const wanted = [variable('SAME', 'a'), variable('OTHER', 'b'), variable('NEW', 'a'), variable('RUN', 'b', false)]
    expect(listOtherBuildVariables(built, wanted)).toEqual(['GONE', 'NEW', 'OTHER'])
    expect(listOtherBuildVariables(built, built)).toEqual([])
  })

  it('is also one that is not for the build any more', () => {
    expect(listOtherBuildVariables([variable('URL', 'a')], [variable('URL', 'b', false)])).toEqual(['URL'])
  })
})
