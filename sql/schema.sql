CREATE TABLE public.addresses (
    address inet NOT NULL,
    instance_id bigint,
    reusable_at timestamp with time zone
);

CREATE TABLE public.apps (
    id bigint NOT NULL,
    name text NOT NULL,
    default_branch text,
    default_branch_pinned boolean DEFAULT false NOT NULL,
    last_build_number integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    removing_since timestamp with time zone,
    removed_by text,
    release_addresses text DEFAULT 'protected'::text NOT NULL,
    branches_known boolean DEFAULT true NOT NULL,
    CONSTRAINT apps_release_addresses_check CHECK ((release_addresses = ANY (ARRAY['off'::text, 'protected'::text, 'public'::text])))
);

ALTER TABLE public.apps ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.apps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.branches (
    app_id bigint NOT NULL,
    name text NOT NULL,
    head text NOT NULL
);

CREATE TABLE public.builds (
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    number integer NOT NULL,
    commit text NOT NULL,
    key text NOT NULL,
    config jsonb NOT NULL,
    state text NOT NULL,
    host text,
    image jsonb,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    lease_owner text,
    error_code text,
    error_hint text,
    image_removed_at timestamp with time zone,
    CONSTRAINT builds_check CHECK (((state = 'succeeded'::text) = (image IS NOT NULL))),
    CONSTRAINT builds_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
);

ALTER TABLE public.builds ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.builds_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.commit_counts (
    environment_id bigint NOT NULL,
    deployed text NOT NULL,
    head text NOT NULL,
    undeployed integer NOT NULL,
    left_out integer NOT NULL
);

CREATE TABLE public.cron_jobs (
    environment_id bigint NOT NULL,
    label text NOT NULL,
    schedule text NOT NULL,
    timezone text NOT NULL,
    run text NOT NULL,
    next_due_at timestamp with time zone NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    failure_told_at timestamp with time zone
);

CREATE TABLE public.cron_runs (
    id bigint NOT NULL,
    environment_id bigint NOT NULL,
    deploy_id bigint NOT NULL,
    label text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    requested_by text,
    state text NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    exit_code integer,
    error text,
    tail text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT cron_runs_check CHECK (((state = ANY (ARRAY['waiting'::text, 'running'::text])) = (finished_at IS NULL))),
    CONSTRAINT cron_runs_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'skipped'::text])))
);

ALTER TABLE public.cron_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.cron_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.deploy_log (
    deploy_id bigint NOT NULL,
    seq integer NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    CONSTRAINT deploy_log_kind_check CHECK ((kind = ANY (ARRAY['step'::text, 'detail'::text, 'output'::text, 'result'::text, 'error'::text, 'machine'::text])))
);

CREATE TABLE public.deploy_steps (
    deploy_id bigint NOT NULL,
    step text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    outcome text,
    CONSTRAINT deploy_steps_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.deploys (
    id bigint NOT NULL,
    environment_id bigint NOT NULL,
    kind text NOT NULL,
    branch text,
    commit text NOT NULL,
    requested_by text NOT NULL,
    push_id bigint,
    state text NOT NULL,
    step text,
    build_id bigint,
    release_id bigint,
    superseded_by bigint,
    cancel_requested_at timestamp with time zone,
    error_code text,
    error_message text,
    commands_ran boolean DEFAULT false NOT NULL,
    lease_owner text,
    lease_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    log_removed_at timestamp with time zone,
    replaceable boolean DEFAULT false NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    waiting_for text,
    cancel_requested_by text,
    force_rebuild boolean DEFAULT false NOT NULL,
    swap_agreed boolean,
    from_release_id bigint,
    variables_of text,
    holds boolean DEFAULT false NOT NULL,
    rebuild_of_release_id bigint,
    instances_of bigint,
    watch_until timestamp with time zone,
    reverts bigint,
    CONSTRAINT deploys_check CHECK (((state = ANY (ARRAY['waiting'::text, 'running'::text])) = (finished_at IS NULL))),
    CONSTRAINT deploys_kind_check CHECK ((kind = ANY (ARRAY['push'::text, 'deploy'::text, 'promotion'::text, 'rollback'::text, 'restart'::text, 'scale'::text, 'start'::text]))),
    CONSTRAINT deploys_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'live'::text, 'reverted'::text, 'failed'::text, 'cancelled'::text, 'superseded'::text]))),
    CONSTRAINT deploys_step_check CHECK ((step = ANY (ARRAY['build'::text, 'release-commands'::text, 'start'::text, 'check'::text, 'swap'::text]))),
    CONSTRAINT deploys_variables_of_check CHECK ((variables_of = ANY (ARRAY['release'::text, 'environment'::text])))
);

ALTER TABLE public.deploys ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.deploys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.environment_maintenance (
    environment_id bigint NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    ranges cidr[] DEFAULT '{}'::cidr[] NOT NULL,
    begun_by text NOT NULL,
    begun_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.environment_passwords (
    environment_id bigint NOT NULL,
    user_name text NOT NULL,
    hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.environment_ranges (
    environment_id bigint NOT NULL,
    range cidr NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.environment_rules (
    environment_id bigint NOT NULL,
    only_releases boolean DEFAULT false NOT NULL,
    max_requests integer,
    visitor_rate integer,
    visitor_requests integer,
    CONSTRAINT environment_rules_max_requests_check CHECK ((max_requests > 0)),
    CONSTRAINT environment_rules_visitor_rate_check CHECK ((visitor_rate > 0)),
    CONSTRAINT environment_rules_visitor_requests_check CHECK ((visitor_requests > 0))
);

CREATE TABLE public.environments (
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    name text NOT NULL,
    label text NOT NULL,
    live boolean NOT NULL,
    branch text,
    deploy_on_push boolean NOT NULL,
    allow_forced_push boolean NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    supersede text DEFAULT 'waiting'::text NOT NULL,
    variables_version bigint DEFAULT 0 NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    removed_by text,
    held boolean DEFAULT false NOT NULL,
    locked_at timestamp with time zone,
    locked_by text,
    lock_reason text,
    lock_waits boolean DEFAULT false NOT NULL,
    lock_allows_rollbacks boolean DEFAULT false NOT NULL,
    CONSTRAINT environments_lock_check CHECK ((((locked_at IS NULL) = (locked_by IS NULL)) AND ((locked_at IS NULL) = (lock_reason IS NULL)))),
    CONSTRAINT environments_state_check CHECK ((state = ANY (ARRAY['active'::text, 'stopped'::text, 'removing'::text]))),
    CONSTRAINT environments_supersede_check CHECK ((supersede = ANY (ARRAY['waiting'::text, 'running'::text])))
);

ALTER TABLE public.environments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.environments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.events (
    id bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    app_id bigint,
    environment_id bigint,
    deploy_id bigint,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    app text,
    environment text,
    actor text,
    origin text
);

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.instances (
    id bigint NOT NULL,
    release_id bigint NOT NULL,
    deploy_id bigint NOT NULL,
    "position" integer NOT NULL,
    host text DEFAULT 'local'::text NOT NULL,
    container_id text,
    port integer NOT NULL,
    state text NOT NULL,
    drain_until timestamp with time zone,
    drain_ms integer NOT NULL,
    stop_ms integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    down_since timestamp with time zone,
    last_exit_code integer,
    last_out_of_memory boolean DEFAULT false NOT NULL,
    end_count integer DEFAULT 0 NOT NULL,
    ends timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    crash_loop_since timestamp with time zone,
    start_attempts integer DEFAULT 0 NOT NULL,
    next_start_at timestamp with time zone,
    process text DEFAULT 'web'::text NOT NULL,
    warm_until timestamp with time zone,
    start_error text,
    CONSTRAINT instances_state_check CHECK ((state = ANY (ARRAY['starting'::text, 'serving'::text, 'waking'::text, 'awake'::text, 'draining'::text, 'retired'::text])))
);

ALTER TABLE public.instances ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.instances_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.nightly (
    one boolean DEFAULT true NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    outcome jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT nightly_one_check CHECK (one)
);

CREATE TABLE public.numbers_of_removed_apps (
    app text NOT NULL,
    environment_name text NOT NULL,
    last_number integer NOT NULL
);

CREATE TABLE public.pushes (
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    pushed_by text NOT NULL,
    state text NOT NULL,
    updates jsonb NOT NULL,
    options jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deploy_count integer,
    CONSTRAINT pushes_state_check CHECK ((state = ANY (ARRAY['receiving'::text, 'received'::text, 'lost'::text, 'strict'::text, 'rejected'::text])))
);

ALTER TABLE public.pushes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.pushes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.ref_leases (
    app_id bigint NOT NULL,
    ref text NOT NULL,
    push_id bigint NOT NULL
);

CREATE TABLE public.release_commands (
    deploy_id bigint NOT NULL,
    "position" integer NOT NULL,
    label text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    exit_code integer
);

CREATE TABLE public.release_numbers (
    app_id bigint NOT NULL,
    environment_name text NOT NULL,
    last_number integer NOT NULL
);

CREATE TABLE public.releases (
    id bigint NOT NULL,
    environment_id bigint NOT NULL,
    number integer NOT NULL,
    build_id bigint NOT NULL,
    variables bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    pinned boolean DEFAULT false NOT NULL,
    variables_key_id integer,
    variable_marks jsonb DEFAULT '{}'::jsonb NOT NULL,
    variables_revoked_at timestamp with time zone
);

ALTER TABLE public.releases ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.releases_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.revoked_values (
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    name text NOT NULL,
    mark bytea NOT NULL,
    key_id integer NOT NULL,
    sealed bytea NOT NULL,
    secret boolean NOT NULL,
    revoked_by text NOT NULL,
    revoked_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.revoked_values ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.revoked_values_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.routes (
    environment_id bigint NOT NULL,
    release_id bigint,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    deploy_id bigint
);

CREATE TABLE public.scales (
    environment_id bigint NOT NULL,
    process text NOT NULL,
    instances integer NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT scales_instances_check CHECK (((instances >= 0) AND (instances <= 50)))
);

CREATE TABLE public.sealing_key_wraps (
    key_id integer NOT NULL,
    wrapper text NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.sealing_keys (
    id integer NOT NULL,
    purpose text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sealing_keys_purpose_check CHECK ((purpose = ANY (ARRAY['values'::text, 'derived'::text])))
);

ALTER TABLE public.sealing_keys ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sealing_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.tokens (
    id bigint NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tokens_role_check CHECK ((role = 'admin'::text))
);

ALTER TABLE public.tokens ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.variables (
    environment_id bigint NOT NULL,
    name text NOT NULL,
    key_id integer NOT NULL,
    sealed bytea NOT NULL,
    mark bytea NOT NULL,
    bytes integer NOT NULL,
    secret boolean DEFAULT false NOT NULL,
    build boolean DEFAULT false NOT NULL,
    version bigint NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT addresses_instance_id_key UNIQUE (instance_id);

ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT addresses_pkey PRIMARY KEY (address);

ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_name_key UNIQUE (name);

ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.branches
    ADD CONSTRAINT branches_pkey PRIMARY KEY (app_id, name);

ALTER TABLE ONLY public.builds
    ADD CONSTRAINT builds_app_id_number_key UNIQUE (app_id, number);

ALTER TABLE ONLY public.builds
    ADD CONSTRAINT builds_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.commit_counts
    ADD CONSTRAINT commit_counts_pkey PRIMARY KEY (environment_id);

ALTER TABLE ONLY public.cron_jobs
    ADD CONSTRAINT cron_jobs_pkey PRIMARY KEY (environment_id, label);

ALTER TABLE ONLY public.cron_runs
    ADD CONSTRAINT cron_runs_environment_id_label_due_at_key UNIQUE (environment_id, label, due_at);

ALTER TABLE ONLY public.cron_runs
    ADD CONSTRAINT cron_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.deploy_log
    ADD CONSTRAINT deploy_log_pkey PRIMARY KEY (deploy_id, seq);

ALTER TABLE ONLY public.deploy_steps
    ADD CONSTRAINT deploy_steps_pkey PRIMARY KEY (deploy_id, step);

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.environment_maintenance
    ADD CONSTRAINT environment_maintenance_pkey PRIMARY KEY (environment_id);

ALTER TABLE ONLY public.environment_passwords
    ADD CONSTRAINT environment_passwords_pkey PRIMARY KEY (environment_id, user_name);

ALTER TABLE ONLY public.environment_ranges
    ADD CONSTRAINT environment_ranges_pkey PRIMARY KEY (environment_id, range);

ALTER TABLE ONLY public.environment_rules
    ADD CONSTRAINT environment_rules_pkey PRIMARY KEY (environment_id);

ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_app_id_name_key UNIQUE (app_id, name);

ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_label_key UNIQUE (label);

ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_deploy_id_process_position_key UNIQUE (deploy_id, process, "position");

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.nightly
    ADD CONSTRAINT nightly_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.numbers_of_removed_apps
    ADD CONSTRAINT numbers_of_removed_apps_pkey PRIMARY KEY (app, environment_name);

ALTER TABLE ONLY public.pushes
    ADD CONSTRAINT pushes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ref_leases
    ADD CONSTRAINT ref_leases_pkey PRIMARY KEY (app_id, ref);

ALTER TABLE ONLY public.release_commands
    ADD CONSTRAINT release_commands_pkey PRIMARY KEY (deploy_id, "position");

ALTER TABLE ONLY public.release_numbers
    ADD CONSTRAINT release_numbers_pkey PRIMARY KEY (app_id, environment_name);

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_environment_id_number_key UNIQUE (environment_id, number);

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.revoked_values
    ADD CONSTRAINT revoked_values_app_id_name_mark_key UNIQUE (app_id, name, mark);

ALTER TABLE ONLY public.revoked_values
    ADD CONSTRAINT revoked_values_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.routes
    ADD CONSTRAINT routes_pkey PRIMARY KEY (environment_id);

ALTER TABLE ONLY public.scales
    ADD CONSTRAINT scales_pkey PRIMARY KEY (environment_id, process);

ALTER TABLE ONLY public.sealing_key_wraps
    ADD CONSTRAINT sealing_key_wraps_pkey PRIMARY KEY (key_id, wrapper);

ALTER TABLE ONLY public.sealing_keys
    ADD CONSTRAINT sealing_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.variables
    ADD CONSTRAINT variables_pkey PRIMARY KEY (environment_id, name);

CREATE INDEX addresses_free ON public.addresses USING btree (reusable_at) WHERE (instance_id IS NULL);

CREATE INDEX apps_removing ON public.apps USING btree (id) WHERE (removing_since IS NOT NULL);

CREATE INDEX apps_with_release_addresses ON public.apps USING btree (id) WHERE (release_addresses <> 'protected'::text);

CREATE INDEX builds_by_commit ON public.builds USING btree (app_id, commit);

CREATE INDEX builds_by_digest ON public.builds USING btree (((image ->> 'digest'::text))) WHERE (image_removed_at IS NULL);

CREATE INDEX builds_kept ON public.builds USING btree (key, id) WHERE ((state = 'succeeded'::text) AND (image_removed_at IS NULL));

CREATE INDEX builds_with_image ON public.builds USING btree (app_id) WHERE ((state = 'succeeded'::text) AND (image_removed_at IS NULL));

CREATE INDEX cron_jobs_due ON public.cron_jobs USING btree (next_due_at);

CREATE INDEX cron_runs_by_deploy ON public.cron_runs USING btree (deploy_id);

CREATE INDEX cron_runs_by_end ON public.cron_runs USING btree (finished_at) WHERE (finished_at IS NOT NULL);

CREATE UNIQUE INDEX cron_runs_one_open ON public.cron_runs USING btree (environment_id, label) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));

CREATE INDEX cron_runs_open ON public.cron_runs USING btree (due_at, id) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));

CREATE INDEX deploys_by_build ON public.deploys USING btree (build_id);

CREATE INDEX deploys_by_environment ON public.deploys USING btree (environment_id, id DESC);

CREATE INDEX deploys_by_instances ON public.deploys USING btree (instances_of) WHERE (instances_of IS NOT NULL);

CREATE INDEX deploys_by_origin ON public.deploys USING btree (from_release_id) WHERE (from_release_id IS NOT NULL);

CREATE INDEX deploys_by_push ON public.deploys USING btree (push_id) WHERE (push_id IS NOT NULL);

CREATE INDEX deploys_by_rebuilt ON public.deploys USING btree (rebuild_of_release_id) WHERE (rebuild_of_release_id IS NOT NULL);

CREATE INDEX deploys_by_release ON public.deploys USING btree (release_id);

CREATE INDEX deploys_by_superseding ON public.deploys USING btree (superseded_by) WHERE (superseded_by IS NOT NULL);

CREATE INDEX deploys_ended ON public.deploys USING btree (environment_id, finished_at DESC, id DESC) WHERE (finished_at IS NOT NULL);

CREATE INDEX deploys_leases ON public.deploys USING btree (lease_until) WHERE (state = 'running'::text);

CREATE INDEX deploys_reverting ON public.deploys USING btree (reverts) WHERE (reverts IS NOT NULL);

CREATE INDEX deploys_strict ON public.deploys USING btree (push_id) WHERE (swap_agreed IS NOT NULL);

CREATE INDEX deploys_that_hold ON public.deploys USING btree (environment_id) WHERE (holds AND (finished_at IS NULL));

CREATE INDEX deploys_waiting ON public.deploys USING btree (priority DESC, id) WHERE (state = 'waiting'::text);

CREATE INDEX deploys_watched ON public.deploys USING btree (id) WHERE (watch_until IS NOT NULL);

CREATE INDEX deploys_with_log ON public.deploys USING btree (finished_at, id) WHERE ((log_removed_at IS NULL) AND (finished_at IS NOT NULL));

CREATE INDEX environments_removing ON public.environments USING btree (id) WHERE (state = 'removing'::text);

CREATE INDEX events_by_time ON public.events USING btree (at);

CREATE INDEX events_in_order ON public.events USING btree (xid, id);

CREATE INDEX events_of_actor ON public.events USING btree (actor, id DESC);

CREATE INDEX events_of_app ON public.events USING btree (app_id, id DESC);

CREATE INDEX events_of_deploy ON public.events USING btree (deploy_id) WHERE (deploy_id IS NOT NULL);

CREATE INDEX events_of_environment ON public.events USING btree (app_id, environment, id DESC);

CREATE INDEX events_of_kind ON public.events USING btree (kind, id DESC);

CREATE INDEX instances_awake ON public.instances USING btree (release_id) WHERE (state = ANY (ARRAY['waking'::text, 'awake'::text]));

CREATE INDEX instances_by_deploy ON public.instances USING btree (deploy_id);

CREATE INDEX instances_there ON public.instances USING btree (release_id) WHERE (state <> 'retired'::text);

CREATE UNIQUE INDEX one_build_for_each_key ON public.builds USING btree (key) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));

CREATE UNIQUE INDEX one_derived_key ON public.sealing_keys USING btree (purpose) WHERE (purpose = 'derived'::text);

CREATE UNIQUE INDEX one_live_environment ON public.environments USING btree (app_id) WHERE live;

CREATE UNIQUE INDEX one_running_deploy ON public.deploys USING btree (environment_id) WHERE (state = 'running'::text);

CREATE UNIQUE INDEX one_waiting_replaceable ON public.deploys USING btree (environment_id) WHERE ((state = 'waiting'::text) AND replaceable);

CREATE INDEX pushes_by_app ON public.pushes USING btree (app_id);

CREATE INDEX pushes_receiving ON public.pushes USING btree (id) WHERE (state = 'receiving'::text);

CREATE INDEX pushes_strict ON public.pushes USING btree (id) WHERE (state = 'strict'::text);

CREATE INDEX ref_leases_by_push ON public.ref_leases USING btree (push_id);

CREATE INDEX releases_by_build ON public.releases USING btree (build_id);

CREATE INDEX releases_by_variables_key ON public.releases USING btree (variables_key_id) WHERE (variables_key_id IS NOT NULL);

CREATE INDEX revoked_values_by_key ON public.revoked_values USING btree (key_id);

CREATE INDEX routes_by_deploy ON public.routes USING btree (deploy_id);

CREATE INDEX routes_by_release ON public.routes USING btree (release_id);

CREATE INDEX variables_by_key ON public.variables USING btree (key_id);

ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT addresses_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instances(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.branches
    ADD CONSTRAINT branches_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.builds
    ADD CONSTRAINT builds_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.commit_counts
    ADD CONSTRAINT commit_counts_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.cron_jobs
    ADD CONSTRAINT cron_jobs_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.cron_runs
    ADD CONSTRAINT cron_runs_deploy_id_fkey FOREIGN KEY (deploy_id) REFERENCES public.deploys(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.cron_runs
    ADD CONSTRAINT cron_runs_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.deploy_log
    ADD CONSTRAINT deploy_log_deploy_id_fkey FOREIGN KEY (deploy_id) REFERENCES public.deploys(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.deploy_steps
    ADD CONSTRAINT deploy_steps_deploy_id_fkey FOREIGN KEY (deploy_id) REFERENCES public.deploys(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_build_id_fkey FOREIGN KEY (build_id) REFERENCES public.builds(id);

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_from_release_id_fkey FOREIGN KEY (from_release_id) REFERENCES public.releases(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_instances_of_fkey FOREIGN KEY (instances_of) REFERENCES public.deploys(id);

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_push_id_fkey FOREIGN KEY (push_id) REFERENCES public.pushes(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_rebuild_of_release_id_fkey FOREIGN KEY (rebuild_of_release_id) REFERENCES public.releases(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_release_id_fkey FOREIGN KEY (release_id) REFERENCES public.releases(id);

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_reverts_fkey FOREIGN KEY (reverts) REFERENCES public.deploys(id);

ALTER TABLE ONLY public.deploys
    ADD CONSTRAINT deploys_superseded_by_fkey FOREIGN KEY (superseded_by) REFERENCES public.deploys(id);

ALTER TABLE ONLY public.environment_maintenance
    ADD CONSTRAINT environment_maintenance_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.environment_passwords
    ADD CONSTRAINT environment_passwords_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.environment_ranges
    ADD CONSTRAINT environment_ranges_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.environment_rules
    ADD CONSTRAINT environment_rules_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_deploy_id_fkey FOREIGN KEY (deploy_id) REFERENCES public.deploys(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_release_id_fkey FOREIGN KEY (release_id) REFERENCES public.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.pushes
    ADD CONSTRAINT pushes_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ref_leases
    ADD CONSTRAINT ref_leases_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ref_leases
    ADD CONSTRAINT ref_leases_push_id_fkey FOREIGN KEY (push_id) REFERENCES public.pushes(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.release_commands
    ADD CONSTRAINT release_commands_deploy_id_fkey FOREIGN KEY (deploy_id) REFERENCES public.deploys(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.release_numbers
    ADD CONSTRAINT release_numbers_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_build_id_fkey FOREIGN KEY (build_id) REFERENCES public.builds(id);

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_variables_key_id_fkey FOREIGN KEY (variables_key_id) REFERENCES public.sealing_keys(id);

ALTER TABLE ONLY public.revoked_values
    ADD CONSTRAINT revoked_values_app_id_fkey FOREIGN KEY (app_id) REFERENCES public.apps(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.revoked_values
    ADD CONSTRAINT revoked_values_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.sealing_keys(id);

ALTER TABLE ONLY public.routes
    ADD CONSTRAINT routes_deploy_id_fkey FOREIGN KEY (deploy_id) REFERENCES public.deploys(id);

ALTER TABLE ONLY public.routes
    ADD CONSTRAINT routes_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.routes
    ADD CONSTRAINT routes_release_id_fkey FOREIGN KEY (release_id) REFERENCES public.releases(id);

ALTER TABLE ONLY public.scales
    ADD CONSTRAINT scales_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.sealing_key_wraps
    ADD CONSTRAINT sealing_key_wraps_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.sealing_keys(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.variables
    ADD CONSTRAINT variables_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.variables
    ADD CONSTRAINT variables_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.sealing_keys(id);
