{#
  Materialization `slice_table`: the model's query is the whole content of one tenant's dates
  (vars tenant_id, start_date, end_date) and replaces them, also when it returns nothing.

  Unit of the swap: a (tenant, month) partition. A side table gets the new rows of the slice and the kept rows
  of the month's other days, then REPLACE PARTITION moves it in: readers see the old month or the new one,
  a crash before the swap leaves the old one, doing it twice equals doing it once.
  Runs of one tenant must not overlap (Dagster limits them to one at a time).
#}
{% materialization slice_table, adapter='clickhouse' %}

  {%- set target = this.incorporate(type='table') -%}
  {%- set tenant = var('tenant_id') -%}
  {%- set side = target.incorporate(path={'identifier': target.identifier ~ '__slice_' ~ tenant}) -%}
  {%- set in_slice -%}
    (tenant_id = '{{ tenant }}' and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}')
  {%- endset -%}

  {% if not modules.re.match('^[a-z][a-z0-9_]{1,30}$', tenant) %}
    {% do exceptions.raise_compiler_error("slice_table needs --vars with one tenant_id, got '" ~ tenant ~ "'") %}
  {% endif %}

  {{ run_hooks(pre_hooks) }}

  {% call statement('drop_leftover') %} drop table if exists {{ side }} {% endcall %}
  {{ clickhouse__create_empty_table(false, side, sql, config.get('contract').enforced, 'create_side') }}
  {# two tenants' first runs may come here at once: the mart is whichever side table was first #}
  {% call statement('create_target') %} create table if not exists {{ target }} as {{ side }} {% endcall %}
  {% call statement('main') %}
    {{ clickhouse__insert_into(side, sql, config.get('contract').enforced) }}
  {% endcall %}

  {% for month in slice_months(var('start_date'), var('end_date')) %}
    {% call statement('keep_' ~ month) %}
      insert into {{ side }}
      select * from {{ target }}
      where tenant_id = '{{ tenant }}' and toYYYYMM(event_date) = {{ month }} and not {{ in_slice }}
    {% endcall %}
    {# REPLACE refuses an empty source: a month that became empty is dropped instead #}
    {% set rows = run_query(
        "select count() from " ~ side ~ " where tenant_id = '" ~ tenant ~ "' and toYYYYMM(event_date) = " ~ month
    ) %}
    {% call statement('swap_' ~ month) %}
      {% if rows.columns[0][0] | int > 0 %}
        alter table {{ target }} replace partition ('{{ tenant }}', {{ month }}) from {{ side }}
      {% else %}
        alter table {{ target }} drop partition ('{{ tenant }}', {{ month }})
      {% endif %}
    {% endcall %}
  {% endfor %}

  {% call statement('drop_side') %} drop table if exists {{ side }} {% endcall %}
  {% do persist_docs(target, model) %}
  {{ run_hooks(post_hooks) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}

{# Months (YYYYMM numbers) that hold a day of start..end. #}
{% macro slice_months(start_date, end_date) %}
  {%- set months = [] -%}
  {%- set parse = modules.datetime.date.fromisoformat -%}
  {%- set first = parse(start_date) -%}
  {%- for offset in range((parse(end_date) - first).days + 1) -%}
    {%- set day = first + modules.datetime.timedelta(days=offset) -%}
    {%- set month = day.year * 100 + day.month -%}
    {%- if month not in months -%}{%- do months.append(month) -%}{%- endif -%}
  {%- endfor -%}
  {{ return(months) }}
{% endmacro %}
