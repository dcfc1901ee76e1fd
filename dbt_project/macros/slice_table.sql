{#
  Materialization `slice_table`: the model's query is the whole content of one tenant's dates
  (vars tenant_id, start_date, end_date) and replaces them, also when it returns nothing.

  A mart of several versions says in `slice_keys` which columns tell them apart, and the var with the value of each:
  the slice is then of that version alone. The columns stand in `partition_by` between tenant and month.

  Unit of the swap: a (tenant, month) partition. A side table gets the new rows of the slice and the kept rows
  of the month's other days, then REPLACE PARTITION moves it in: readers see the old month or the new one,
  a crash before the swap leaves the old one, doing it twice equals doing it once.
  Runs of one tenant must not overlap (Dagster limits them to one at a time).
#}
{% materialization slice_table, adapter='clickhouse' %}

  {%- set target = this.incorporate(type='table') -%}
  {%- set tenant = var('tenant_id') -%}
  {%- set side = target.incorporate(path={'identifier': target.identifier ~ '__slice_' ~ tenant}) -%}
  {%- set keys = {'tenant_id': tenant} -%}
  {%- for column, variable in config.get('slice_keys', {}).items() -%}{%- do keys.update({column: var(variable)}) -%}{%- endfor -%}
  {%- set of_keys = [] -%}
  {%- for column, value in keys.items() -%}{%- do of_keys.append(column ~ ' = ' ~ sql_text(value)) -%}{%- endfor -%}
  {%- set of_keys = of_keys | join(' and ') -%}
  {%- set in_slice -%}
    ({{ of_keys }} and event_date between '{{ var("start_date") }}' and '{{ var("end_date") }}')
  {%- endset -%}
  {%- set partition_keys = sql_texts(keys.values() | list)[1:-1] -%}

  {% if not modules.re.match('^[a-z][a-z0-9_]{1,30}$', tenant) %}
    {% do exceptions.raise_compiler_error("slice_table needs --vars with one tenant_id, got '" ~ tenant ~ "'") %}
  {% endif %}

  {{ run_hooks(pre_hooks) }}

  {# first, from the contract: a model may read its own earlier dates, also on the day there are none. Two tenants'
     first runs may come here at once: the mart is whichever was first #}
  {% call statement('create_target') %}
    create table if not exists {{ target }} (
      {%- for column in model.columns.values() %}`{{ column.name }}` {{ column.data_type }}{{ ", " if not loop.last }}{% endfor -%}
    )
    {{ engine_clause() }} {{ partition_cols(label='partition by') }} {{ order_cols(label='order by') }}
  {% endcall %}
  {% do add_missing_columns(target) %}
  {%- set names = '`' ~ (model.columns.keys() | join('`, `')) ~ '`' %}

  {% call statement('drop_leftover') %} drop table if exists {{ side }} {% endcall %}
  {{ clickhouse__create_empty_table(false, side, sql, config.get('contract').enforced, 'create_side') }}
  {% call statement('main') %}
    {{ clickhouse__insert_into(side, sql, config.get('contract').enforced) }}
  {% endcall %}

  {% for month in slice_months(var('start_date'), var('end_date')) %}
    {% call statement('keep_' ~ month) %}
      insert into {{ side }} ({{ names }})
      select {{ names }} from {{ target }}
      where {{ of_keys }} and toYYYYMM(event_date) = {{ month }} and not {{ in_slice }}
    {% endcall %}
    {# REPLACE refuses an empty source: a month that became empty is dropped instead #}
    {% set rows = run_query(
        "select count() from " ~ side ~ " where " ~ of_keys ~ " and toYYYYMM(event_date) = " ~ month
    ) %}
    {% call statement('swap_' ~ month) %}
      {% if rows.columns[0][0] | int > 0 %}
        alter table {{ target }} replace partition ({{ partition_keys }}, {{ month }}) from {{ side }}
      {% else %}
        alter table {{ target }} drop partition ({{ partition_keys }}, {{ month }})
      {% endif %}
    {% endcall %}
  {% endfor %}

  {% call statement('drop_side') %} drop table if exists {{ side }} {% endcall %}
  {% do persist_docs(target, model) %}
  {{ run_hooks(post_hooks) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}

{#
  A mart that an earlier release made gets the columns it lacks, in their places: REPLACE PARTITION takes only tables of
  the same columns in the same order. Days that are not built again keep the new columns' defaults.
#}
{% macro add_missing_columns(target) %}
  {%- set found = run_query(
      "select name from system.columns where database = '" ~ target.schema ~ "' and table = '" ~ target.identifier ~ "'"
  ).columns[0].values() -%}
  {%- for column in model.columns.values() if column.name not in found -%}
    {%- set names = model.columns.keys() | list -%}
    {%- set position = names.index(column.name) -%}
    {%- set place = 'after `' ~ names[position - 1] ~ '`' if position else 'first' -%}
    {%- call statement('add_' ~ column.name) -%}
      alter table {{ target }} add column if not exists `{{ column.name }}` {{ column.data_type }} {{ place }}
    {%- endcall -%}
  {%- endfor -%}
{% endmacro %}

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
