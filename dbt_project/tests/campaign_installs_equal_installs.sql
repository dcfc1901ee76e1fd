-- every install is in exactly one campaign row: the two marts count the same
with by_campaign as (
    select event_date, sum(installs) as n from {{ ref('campaign_daily') }}
    where tenant_id = '{{ var("tenant_id") }}' and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date
),

by_install as (
    select event_date, count() as n from {{ ref('installs') }}
    where tenant_id = '{{ var("tenant_id") }}' and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
    group by event_date
)

select by_install.event_date, by_install.n, by_campaign.n
from by_install
left join by_campaign on by_install.event_date = by_campaign.event_date
where by_install.n != by_campaign.n
