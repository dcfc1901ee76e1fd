-- grain: one row per install whose credit differs between two rule sets: `against_hash` before, `ruleset_hash` after
--
-- Both versions are made in the same run, from the same snapshot of the lake, so a difference is the rules'. An install
-- may be new under one and a reinstall under the other, where their re-attribution windows differ.
{{ config(
    order_by=['tenant_id', 'event_date', 'app_id', 'install_id'],
    partition_by='tenant_id, hash_before, hash_after, toYYYYMM(event_date)',
    slice_keys={'hash_before': 'against_hash', 'hash_after': 'ruleset_hash'}
) }}

{%- set reattribution_ms = var('rules').reattribution_window_ms %}
{%- set versions = {'old': var('against_hash'), 'new': var('ruleset_hash')} %}

with {% for version, hash in versions.items() %}
{{ version }}_installs as (
    select event_date, app_id, install_id, source, campaign, match_type, touch_id
    from {{ version_of(ref('installs_versions'), hash) }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),

{{ version }}_decisions as (
    select conversion_id, touch_id, reason
    from {{ version_of(ref('decisions_versions'), hash) }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),
{% endfor %}

changed_installs as (
    select
        if(new_installs.install_id = '', old_installs.event_date, new_installs.event_date) as event_date,
        if(new_installs.install_id = '', old_installs.app_id, new_installs.app_id) as app_id,
        if(new_installs.install_id = '', old_installs.install_id, new_installs.install_id) as install_id,
        old_installs.install_id != '' as is_in_old,
        new_installs.install_id != '' as is_in_new,
        old_installs.source as source_before,
        new_installs.source as source_after,
        old_installs.campaign as campaign_before,
        new_installs.campaign as campaign_after,
        old_installs.match_type as match_type_before,
        new_installs.match_type as match_type_after,
        old_installs.touch_id as touch_id_before,
        new_installs.touch_id as touch_id_after
    from old_installs
    full outer join new_installs on old_installs.install_id = new_installs.install_id
    where old_installs.install_id != new_installs.install_id or old_installs.touch_id != new_installs.touch_id
),

-- what the rules after say of the winner before, and those before of the winner after
changed_installs_with_reasons as (
    select
        changed.*,
        if(old_winners.reason = '', 'no candidate', old_winners.reason) as old_winner_now,
        if(new_winners.reason = '', 'no candidate', new_winners.reason) as new_winner_before
    from changed_installs as changed
    left join new_decisions as old_winners
        on changed.install_id = old_winners.conversion_id and changed.touch_id_before = old_winners.touch_id
    left join old_decisions as new_winners
        on changed.install_id = new_winners.conversion_id and changed.touch_id_after = new_winners.touch_id
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    toDate(changed.event_date) as event_date,
    app_id,
    install_id,
    '{{ versions.old }}' as hash_before,
    '{{ versions.new }}' as hash_after,
    multiIf(
        not is_in_new, 'now a reinstall',
        not is_in_old, 'now a new install',
        touch_id_after = '', 'now organic',
        touch_id_before = '', 'now paid',
        match_type_before != match_type_after, 'other match type',
        'other touch'
    ) as change_kind,
    source_before,
    source_after,
    campaign_before,
    campaign_after,
    match_type_before,
    match_type_after,
    touch_id_before,
    touch_id_after,
    concat(
        multiIf(
            not is_in_new,
            'inside the re-attribution window of {{ reattribution_ms }} ms now: a reinstall, no new install',
            not is_in_old,
            'outside the re-attribution window of {{ reattribution_ms }} ms now: a new install, no reinstall',
            touch_id_before = '', '',
            concat('before, ', source_before, ' won by touch ', touch_id_before, ', which is now: ', old_winner_now)
        ),
        if(is_in_old and is_in_new and touch_id_before != '' and touch_id_after != '', '; ', ''),
        if(
            is_in_old and is_in_new and touch_id_after != '',
            concat('now ', source_after, ' wins by touch ', touch_id_after, ', which was before: ', new_winner_before),
            ''
        )
    ) as reason
from changed_installs_with_reasons as changed
