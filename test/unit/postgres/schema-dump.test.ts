import { describe, expect, it } from '@jest/globals'
import { tidyDump } from '../../../src/postgres/schema-dump.ts'

describe('tidyDump', () => {
  it('leaves out what differs between versions and runs', () => {
    const dump = [
      '--\n-- PostgreSQL database dump\n--\n\n\\restrict Ab3\n-- Dumped by pg_dump version 17.2\n\nSET lock_timeout = 0;',
      "SELECT pg_catalog.set_config('search_path', '', false);\n\n--\n-- Name: a\n--\n\nCREATE TABLE public.a (\n    x integer\n);\n",
      '\n\n\\unrestrict Ab3\n',
    ].join('\n')
    expect(tidyDump(dump)).toBe('CREATE TABLE public.a (\n    x integer\n);\n')
  })
})
