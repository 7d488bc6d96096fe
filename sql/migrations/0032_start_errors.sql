-- works with: 0.2.0
-- An instance that ended and cannot be started again says why.

-- Of the last attempt, with what to do; null: it worked, or there was none.
alter table instances add column start_error text;
