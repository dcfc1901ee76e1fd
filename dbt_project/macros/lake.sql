{#
  The tenant's clean events from `days_before` days ahead of the slice to its end, read from the lake itself.
  `source()` gives the lineage; the table expression (icebergLocal or icebergS3 with the metadata file pinned)
  comes as a var. `only` is one more condition.
#}
{% macro lake_events(event_types, days_before=0, only=none) %}
{%- set lineage = source('lake', 'clean_events') -%}
{{ var('clean_events') }}
where tenant_id = '{{ var("tenant_id") }}'
    and event_date between toDate('{{ var("start_date") }}') - {{ days_before }} and toDate('{{ var("end_date") }}')
    {%- if event_types %}
    and event_type in ({% for type in event_types %}'{{ type }}'{% if not loop.last %}, {% endif %}{% endfor %})
    {%- endif %}
    {%- if only %}
    and {{ only }}
    {%- endif %}
{% endmacro %}
