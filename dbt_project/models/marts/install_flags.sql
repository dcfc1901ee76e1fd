-- grain: new install x flag, given after credit: nothing here changes who was credited
--
-- device_farm: a model that emulators give; ten or more devices of one model and OS version that installed the app
-- from one network (/24 or /48) on one day; or forty and more devices from one network, ten times the app's mean of
-- that day, so that a carrier's many customers are measured by what is usual for the app.
-- impossible_device: the platform and the model or the OS version cannot belong together.
-- From the rows of its own date alone: a slice never depends on another.
{{ config(order_by=['tenant_id', 'event_date', 'app_id', 'install_id', 'flag']) }}

{%- set alike_devices = 10 %}
{%- set crowd_devices = 40 %}
{%- set crowd_ratio = 10 %}
{%- set emulators = [
    'sdk_gphone', 'sdk built for', 'google_sdk', 'emulator', 'simulator', 'generic_x86', 'genymotion', 'bluestacks',
    '\\\\bnox', 'ldplayer', 'vbox', 'goldfish', 'ranchu'
] %}

with installs as (
    select event_date, app_id, install_id, device_id, source, platform, os_version, device_model, ip_pseudonym
    from {{ ref('installs') }}
    where
        tenant_id = '{{ var("tenant_id") }}'
        and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
),

groups_of_alike as (
    select event_date, app_id, ip_pseudonym, device_model, os_version, uniqExact(device_id) as devices
    from installs
    where ip_pseudonym != '' and device_model != '' and device_id != ''
    group by event_date, app_id, ip_pseudonym, device_model, os_version
    having devices >= {{ alike_devices }}
),

networks as (
    select event_date, app_id, ip_pseudonym, uniqExact(device_id) as devices
    from installs
    where ip_pseudonym != '' and device_id != ''
    group by event_date, app_id, ip_pseudonym
),

networks_with_mean as (
    select *, avg(devices) over (partition by event_date, app_id) as mean_devices
    from networks
),

installs_with_crowds as (
    select
        installs.event_date as event_date,
        installs.app_id as app_id,
        installs.install_id as install_id,
        installs.source as source,
        installs.platform as platform,
        installs.os_version as os_version,
        installs.device_model as device_model,
        groups_of_alike.devices as devices_alike,
        networks.devices as devices_of_network,
        networks.mean_devices as mean_devices
    from installs
    left join groups_of_alike
        on
            installs.event_date = groups_of_alike.event_date
            and installs.app_id = groups_of_alike.app_id
            and installs.ip_pseudonym = groups_of_alike.ip_pseudonym
            and installs.device_model = groups_of_alike.device_model
            and installs.os_version = groups_of_alike.os_version
    left join networks_with_mean as networks
        on
            installs.event_date = networks.event_date
            and installs.app_id = networks.app_id
            and installs.ip_pseudonym = networks.ip_pseudonym
),

installs_with_findings as (
    select
        *,
        match(device_model, '(?i){{ emulators | join("|") }}') as is_emulator,
        devices_alike > 0 as is_one_of_alike,
        devices_of_network >= {{ crowd_devices }} and devices_of_network >= {{ crowd_ratio }} * mean_devices
            as is_of_crowd,
        match(device_model, '(?i)^(iphone|ipad|ipod)') as is_apple_model,
        (platform = 'android' and (is_apple_model or match(os_version, '(?i)ios|iphone')))
        or (platform = 'ios' and ((device_model != '' and not is_apple_model) or match(os_version, '(?i)android')))
            as is_impossible
    from installs_with_crowds
),

findings as (
    select
        event_date,
        app_id,
        install_id,
        source,
        arrayJoin(
            arrayFilter(
                finding -> finding.2 != '',
                [
                    (
                        'device_farm',
                        multiIf(
                            is_emulator, concat('the model ', device_model, ' is an emulator\'s'),
                            is_one_of_alike, concat(
                                toString(devices_alike), ' devices of model ', device_model, ' and OS ', os_version,
                                ' installed from one network that day'
                            ),
                            is_of_crowd, concat(
                                toString(devices_of_network), ' devices installed from one network that day: ',
                                toString(round(mean_devices, 1)), ' are usual for the app'
                            ),
                            ''
                        )
                    ),
                    (
                        'impossible_device',
                        if(
                            is_impossible and not is_emulator,
                            concat('model ', device_model, ' with OS ', os_version, ' cannot be on ', platform),
                            ''
                        )
                    )
                ]
            )
        ) as finding
    from installs_with_findings
)

select
    '{{ var("tenant_id") }}' as tenant_id,
    event_date,
    install_id,
    app_id,
    source,
    finding.1 as flag,
    finding.2 as reason
from findings
