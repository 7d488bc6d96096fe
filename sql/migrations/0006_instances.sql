-- works with: 0.1.0
-- What serving instances went through, so that a restart of Slipway does not forget that one ends again and again.

alter table instances
  -- Since when no request is led to it: it ended, and is not back or does not listen yet.
  add column down_since timestamptz,
  add column last_exit_code integer,
  add column last_out_of_memory boolean not null default false,
  add column end_count integer not null default 0,
  -- The newest ten ends, oldest first.
  add column ends timestamptz[] not null default '{}',
  add column crash_loop_since timestamptz,
  -- How often Slipway has started it again in a row, and before when it does not do so again.
  add column start_attempts integer not null default 0,
  add column next_start_at timestamptz;
