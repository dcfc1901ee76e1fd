{#
  Generic tests look at the slice that was just built, not at every tenant's history: their cost stays that of
  the run. dbt calls this macro to name the rows a test reads.
#}
{% macro clickhouse__get_where_subquery(relation) %}
  {%- set filtered -%}
    (
        select * from {{ relation }}
        where tenant_id = '{{ var("tenant_id") }}'
            and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}'
            {%- if relation.identifier.endswith('_versions') %}
            and ruleset_hash = '{{ var("ruleset_hash") }}'
            {%- endif %}
    ) slice
  {%- endset -%}
  {{ return(filtered) }}
{% endmacro %}
