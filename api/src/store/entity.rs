//! The tables as sea-orm sees them. Private to the store: outside, rows are things of the domain.

#![allow(unreachable_pub, reason = "sea-orm's derives write `pub` items into these private modules")]
macro_rules! tables {
    ($($name:ident = $table:literal { $($(#[$meta:meta])* $field:ident: $type:ty,)+ })+) => {$(
        pub(super) mod $name {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model { $($(#[$meta])* pub $field: $type,)+ }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    )+};
}

tables! {
    instance = "instance" {
        #[sea_orm(primary_key, auto_increment = false)] id: i64,
        instance_id: Uuid,
        install_id: Uuid,
        hierarchy: Vec<u8>,
        identity_seq: i64,
        created_at: i64,
        wraps_from: i64,
    }
    provider_record = "provider_record" {
        #[sea_orm(primary_key, auto_increment = false)] id: i64,
        name: String,
        description: String,
        created_at: i64,
        updated_at: i64,
        revision: i64,
    }
    change = "change" {
        #[sea_orm(primary_key, auto_increment = false)] seq: i64,
        subject_kind: String,
        subject_id: Uuid,
        kind: String,
        revision: i64,
        company_id: Option<Uuid>,
        body: Json,
        at: i64,
    }
    job = "job" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        kind: String,
        subject_id: Option<Uuid>,
        dedupe: Option<String>,
        sealed: Option<Vec<u8>>,
        trace: String,
        state: String,
        run_at: i64,
        tries: i64,
        woken: bool,
        fence: i64,
        lease_until: Option<i64>,
        last_error: Option<String>,
        created_at: i64,
    }
    audit = "audit" {
        #[sea_orm(primary_key, auto_increment = false)] n: i64,
        hash: Vec<u8>,
        at: i64,
        actor: String,
        operation: String,
        object_kind: String,
        object_id: String,
        result: String,
        trace: String,
        details: Json,
        role: String,
        on_behalf_of: String,
        sensitive: Json,
    }
    key_approval = "key_approval" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        operation: String,
        module: String,
        object: String,
        reason: String,
        asked_by: Uuid,
        asked_at: i64,
        state: String,
        answered_by: Option<Uuid>,
        answered_at: Option<i64>,
        answer: Option<String>,
        ended_at: Option<i64>,
        expires_at: i64,
        revision: i64,
        seal: Option<Vec<u8>>,
    }
    key_decision = "key_decision" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        at: i64,
        module: String,
        principal: String,
        operation: String,
        context: Json,
        allowed: bool,
        explanation: String,
        trace: Json,
    }
    audit_checkpoint = "audit_checkpoint" {
        #[sea_orm(primary_key, auto_increment = false)] n: i64,
        note: String,
        at: i64,
    }
    audit_witness = "audit_witness" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        ours: i64,
        signature: Option<String>,
        theirs: i64,
        note: Option<String>,
        disputed: Option<String>,
        at: i64,
    }
    audit_kept = "audit_kept" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] hour: i64,
        note: String,
    }
    idempotency = "idempotency" {
        #[sea_orm(primary_key, auto_increment = false)] principal: String,
        #[sea_orm(primary_key, auto_increment = false)] idempotency_key: String,
        operation: String,
        digest: Vec<u8>,
        result: String,
        sealed: Option<Vec<u8>>,
        created_at: i64,
    }
    company = "company" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        name: String,
        created_at: i64,
        revision: i64,
    }
    account = "account" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        email: String,
        name: String,
        password_hash: Option<String>,
        active: bool,
        company_id: Option<Uuid>,
        created_at: i64,
        revision: i64,
    }
    account_role = "account_role" {
        #[sea_orm(primary_key, auto_increment = false)] account_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] role: String,
        granted_by: String,
        granted_at: i64,
    }
    session = "session" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        digest: Vec<u8>,
        account_id: Uuid,
        created_at: i64,
        fresh_at: i64,
        seen_at: i64,
        expires_at: i64,
    }
    sign_in_code = "sign_in_code" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        account_id: Uuid,
        digest: Vec<u8>,
        tries_left: i64,
        created_at: i64,
        expires_at: i64,
    }
    access_token = "access_token" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        account_id: Uuid,
        name: String,
        digest: Vec<u8>,
        created_at: i64,
        expires_at: i64,
        used_at: Option<i64>,
    }
    registration = "registration" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        number: i64,
        company_id: Uuid,
        contact_id: Uuid,
        origin: String,
        environment: String,
        state: String,
        scan_id: Option<Uuid>,
        banner: Option<String>,
        link_id: Option<Uuid>,
        link_digest: Option<Vec<u8>>,
        link_issued_at: Option<i64>,
        link_expires_at: Option<i64>,
        link_delivery: Option<String>,
        link_contested_at: Option<i64>,
        connection_id: Option<Uuid>,
        ended_at: Option<i64>,
        reason: Option<String>,
        last_attempt: i64,
        created_by: Uuid,
        created_at: i64,
        updated_at: i64,
        revision: i64,
    }
    claim = "claim" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        registration_id: Uuid,
        link_id: Uuid,
        instance_id: Uuid,
        origin: String,
        public_key: Vec<u8>,
        instance_name: String,
        software: String,
        rehearsal: bool,
        state: String,
        reason: Option<String>,
        created_at: i64,
    }
    spent_link = "spent_link" {
        #[sea_orm(primary_key, auto_increment = false)] link_id: Uuid,
        digest: Vec<u8>,
        registration_id: Uuid,
        reason: String,
        at: i64,
    }
    connection = "connection" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        part: String,
        company_id: Option<Uuid>,
        registration_id: Option<Uuid>,
        link_id: Uuid,
        origin: String,
        fingerprint: Vec<u8>,
        instance_id: Option<Uuid>,
        public_key: Option<Vec<u8>>,
        peer_name: Option<String>,
        peer_version: Option<String>,
        identity_seq: i64,
        state: String,
        scan_id: Option<Uuid>,
        then_start: Option<Uuid>,
        attempt_id: Option<Uuid>,
        validated_at: Option<i64>,
        onboarded_at: Option<i64>,
        suspended_at: Option<i64>,
        suspend_reason: Option<String>,
        offboard_at: Option<i64>,
        offboard_reason: Option<String>,
        offboard_by_peer: Option<bool>,
        peer_told: Option<bool>,
        clone_suspected: bool,
        survivor_line: Option<Uuid>,
        survivor_since: Option<i64>,
        agreements: i64,
        ended_at: Option<i64>,
        attempts: i64,
        link_secret: Option<Vec<u8>>,
        channel_id: Option<Uuid>,
        message_seq: i64,
        created_at: i64,
        updated_at: i64,
        revision: i64,
    }
    attempt = "attempt" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        connection_id: Uuid,
        number: i64,
        started_by: Option<Uuid>,
        started_at: i64,
        state: String,
        phases: Json,
        work: Json,
        sealed: Option<Vec<u8>>,
        revision: i64,
    }
    direction = "direction" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] way: String,
        activated_at: Option<i64>,
        last_proof_at: Option<i64>,
        round_trip_ms: Option<i64>,
        misses: i64,
        answers: i64,
        was_down: bool,
        peer_view: Option<String>,
        shown: Option<String>,
        seen_at: Option<i64>,
        slow: bool,
        pace: i64,
        downs: i64,
        down_at: Option<i64>,
        own: Option<String>,
        own_at: Option<i64>,
        shown_at: Option<i64>,
        peer_view_at: Option<i64>,
        peer_view_since: Option<i64>,
        peer_view_code: Option<String>,
        peer_view_reason: Option<String>,
        failure_code: Option<String>,
        failure_reason: Option<String>,
        failure_detail: Option<String>,
        failure_at: Option<i64>,
        failure_trace: Option<String>,
        failure_peer_trace: Option<String>,
        clock_skew_ms: Option<i64>,
        mark_step: Option<i64>,
        mark_token: Option<Uuid>,
        mark_line: Option<Uuid>,
        mark_since: Option<i64>,
        mark_agreement: Option<i64>,
    }
    heartbeat_line = "heartbeat_line" {
        #[sea_orm(primary_key, auto_increment = false)] since: i64,
        line: Uuid,
    }
    direction_history = "direction_history" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] way: String,
        #[sea_orm(primary_key, auto_increment = false)] at: i64,
        status: Option<String>,
        code: Option<String>,
        reason: Option<String>,
    }
    traffic = "traffic" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] hour: i64,
        sent: i64,
        received: i64,
        last_sent_at: Option<i64>,
        last_received_at: Option<i64>,
    }
    failure = "failure" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        subject_kind: String,
        subject_id: Uuid,
        company_id: Option<Uuid>,
        operation: String,
        code: String,
        reason: String,
        message: String,
        remedy: Option<Json>,
        trace: String,
        peer_trace: Option<String>,
        seen_count: i64,
        first_at: i64,
        last_at: i64,
    }
    settings = "settings" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        offer: Json,
        choice: Json,
        agreed_digest: Option<Vec<u8>>,
        synced_at: Option<i64>,
        failure: Option<Json>,
        saved_at: Option<i64>,
        revision: i64,
    }
    verification = "verification" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        requested_by: Uuid,
        started_at: i64,
        finished_at: Option<i64>,
        passed: bool,
        steps: Json,
    }
    activity_mark = "activity_mark" {
        #[sea_orm(primary_key, auto_increment = false)] side: String,
        #[sea_orm(primary_key, auto_increment = false)] activity: String,
        completed_by: Uuid,
        completed_at: i64,
        override_reason: Option<String>,
    }
    definition = "definition" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        kind: String,
        name: String,
        description: String,
        version: i64,
        fields: String,
        created_at: i64,
        updated_at: i64,
        revision: i64,
    }
    service_account = "service_account" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        connection_id: Uuid,
        peer_account_id: Option<Uuid>,
        scopes: String,
        created_at: i64,
        expires_at: i64,
    }
    scan = "scan" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        suite: String,
        only_check: Option<String>,
        subject_kind: String,
        subject_id: Uuid,
        requested_by: Option<Uuid>,
        requested_by_admin: bool,
        requested_at: i64,
        started_at: Option<i64>,
        finished_at: Option<i64>,
        state: String,
    }
    scan_result = "scan_result" {
        #[sea_orm(primary_key, auto_increment = false)] scan_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] check_code: String,
        position: i64,
        answer: String,
        message: Option<String>,
        evidence: Option<String>,
        remedy: Option<Json>,
        blocking: bool,
        finished_at: i64,
    }
    issue = "issue" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        check_code: String,
        subject_kind: String,
        subject_id: Uuid,
        company_id: Option<Uuid>,
        scan_id: Uuid,
        state: String,
        blocking: bool,
        message: String,
        evidence: String,
        remedy: Json,
        seen_count: i64,
        first_seen_at: i64,
        last_seen_at: i64,
        resolved_at: Option<i64>,
        revision: i64,
        severity_rank: i64,
        assignee_id: Option<Uuid>,
        muted_by: Option<Uuid>,
        mute_reason: Option<String>,
        muted_until: Option<i64>,
        waived_by: Option<Uuid>,
        waiver_reason: Option<String>,
        waived_until: Option<i64>,
        told_at: Option<i64>,
    }
    issue_follower = "issue_follower" {
        #[sea_orm(primary_key, auto_increment = false)] issue_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] account_id: Uuid,
    }
    issue_mail = "issue_mail" {
        #[sea_orm(primary_key, auto_increment = false)] account_id: Uuid,
        mode: String,
    }
    check_schedule = "check_schedule" {
        #[sea_orm(primary_key, auto_increment = false)] suite: String,
        interval_seconds: i64,
        enabled: bool,
        updated_by: Option<Uuid>,
        updated_at: i64,
        revision: i64,
    }
    key_version = "key_version" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        module: String,
        purpose: String,
        algorithm: String,
        version: i64,
        state: String,
        state_seq: i64,
        created_at: i64,
        activated_at: Option<i64>,
        rotated_at: Option<i64>,
        deactivated_at: Option<i64>,
        expires_at: Option<i64>,
        destroyed_at: Option<i64>,
        exportable: bool,
        reason: Option<String>,
        public_key: Option<Vec<u8>>,
        wrapped: Vec<u8>,
        row_seal: Vec<u8>,
    }
    key_module = "key_module" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        name: String,
        purpose: String,
        algorithm: String,
        exportable: bool,
        rotation_period: Option<i64>,
        key_lifetime: Option<i64>,
        default_decision: String,
        state: String,
        state_seq: i64,
        created_at: i64,
        published_at: Option<i64>,
        policies: Json,
        row_seal: Vec<u8>,
    }
    authorization_request = "authorization_request" {
        #[sea_orm(primary_key, auto_increment = false)] id: Uuid,
        claim_id: Uuid,
        request_digest: Vec<u8>,
        request_expires_at: i64,
        redirect_uri: String,
        code_challenge: String,
        client_state: String,
        scope: String,
        state: String,
        account_id: Option<Uuid>,
        decided_at: Option<i64>,
        code_digest: Option<Vec<u8>>,
        code_expires_at: Option<i64>,
        token_digest: Option<Vec<u8>>,
        token_expires_at: Option<i64>,
        created_at: i64,
    }
    replay = "replay" {
        #[sea_orm(primary_key, auto_increment = false)] scope: String,
        #[sea_orm(primary_key, auto_increment = false)] value: String,
        expires_at: i64,
    }
    handshake = "handshake" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        attempt_number: i64,
        m1_digest: Vec<u8>,
        m2: Json,
        pending: Vec<u8>,
        m3_digest: Option<Vec<u8>>,
        m4: Option<Json>,
        module: Option<String>,
    }
    key_encryption_rotation = "key_encryption_rotation" {
        #[sea_orm(primary_key, auto_increment = false)] version: i64,
        state: String,
        total: i64,
        done: i64,
        started_by: Option<Uuid>,
        started_at: i64,
        waits_until: Option<i64>,
        finished_at: Option<i64>,
        error: Option<String>,
        error_at: Option<i64>,
        revision: i64,
    }
    message = "message" {
        #[sea_orm(primary_key, auto_increment = false)] connection_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)] message_id: Uuid,
        answer: Vec<u8>,
        expires_at: i64,
    }
}
