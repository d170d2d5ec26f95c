// The report at the end of a run: what was counted, how long it took, and where the time
// went. The last comes from the api's own metrics, read before and after.

import http from 'k6/http';

const METRICS_URL = __ENV.HEADGATE_API_METRICS_URL || '';
const REPORT_FILE = __ENV.K6_REPORT || '';
const CLAIM_ROUTE = '/v1/campaigns/{campaign_id}/claims';

/** The api's metrics now, or null when nobody said where they are. */
export function readMetrics() {
  if (!METRICS_URL) {
    return null;
  }
  const response = http.get(METRICS_URL, { tags: { name: 'metrics' }, responseCallback: http.expectedStatuses(200) });
  return response.status === 200 ? parse(response.body) : null;
}

/** The sums that are needed, from Prometheus' text. */
function parse(text) {
  const values = {};
  for (const line of text.split('\n')) {
    const match = /^(headgate_[a-z_]+)(\{[^}]*\})? (\S+)$/.exec(line);
    if (!match) {
      continue;
    }
    const [, name, labels = '', value] = match;
    // Buckets are not needed, and other routes than that of claims are not compared.
    if (name.endsWith('_bucket') || (name.startsWith('headgate_http_request') && !labels.includes(CLAIM_ROUTE))) {
      continue;
    }
    const key = name === 'headgate_db_pool_connections' ? name + labels : name;
    values[key] = (values[key] || 0) + Number(value);
  }
  return values;
}

/** `handleSummary` of every scenario. */
export function summarise(title, data) {
  const text = [
    `# ${title}`,
    '',
    ...outcomes(data),
    '',
    ...latencies(data),
    '',
    ...bottleneck(data),
    '',
    ...thresholds(data),
    '',
  ].join('\n');
  const files = { stdout: text };
  if (REPORT_FILE) {
    files[REPORT_FILE] = text;
  }
  return files;
}

function value(data, metric, field) {
  const found = data.metrics[metric];
  return found && found.values[field] !== undefined ? found.values[field] : 0;
}

function outcomes(data) {
  const seconds = data.state.testRunDurationMs / 1000;
  const count = (metric) => value(data, metric, 'count');
  const line = (name, metric) => `| ${name} | ${count(metric)} | ${(count(metric) / seconds).toFixed(1)} |`;
  return [
    '| outcome | answers | a second |',
    '| --- | ---: | ---: |',
    line('admitted', 'headgate_claims_admitted'),
    line('sold out (a business answer)', 'headgate_claims_sold_out'),
    line('already claimed (a business answer)', 'headgate_claims_already_claimed'),
    line('503, try again', 'headgate_claims_unavailable'),
    line('unexpected', 'headgate_unexpected_answers'),
    line('all requests', 'http_reqs'),
  ];
}

const QUANTILES = ['avg', 'med', 'p(95)', 'p(99)', 'max'];

function latencies(data) {
  const names = Object.keys(data.metrics).filter((name) => name.startsWith('http_req_duration'));
  return [
    `| milliseconds | ${QUANTILES.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(QUANTILES.length)}`,
    ...names
      .filter((name) => value(data, name, 'max') > 0)
      .map((name) => `| ${name} | ${QUANTILES.map((field) => value(data, name, field).toFixed(1)).join(' | ')} |`),
  ];
}

/** Where an average claim spends its time. */
function bottleneck(data) {
  const before = data.setup_data && data.setup_data.metrics;
  const after = before ? readMetrics() : null;
  if (!after) {
    return ['Bottleneck: unknown. Set HEADGATE_API_METRICS_URL to the /metrics of the api (see README).'];
  }
  const grown = (name) => (after[name] || 0) - (before[name] || 0);
  const mean = (name) => (grown(`${name}_count`) > 0 ? (1000 * grown(`${name}_sum`)) / grown(`${name}_count`) : 0);
  const client = value(data, 'http_req_duration{name:claim}', 'avg');
  const server = mean('headgate_http_request_seconds');
  const redis = mean('headgate_redis_command_seconds');
  const commit = mean('headgate_claim_commit_seconds');
  const share = committedShare(data);
  const parts = [
    ['k6, the connection and the kernel', Math.max(0, client - server)],
    ['Redis (one question for many claims)', Math.min(redis, server)],
    ['MySQL (the commit of a group, by the share of claims that wait for one)', Math.min(commit * share, server)],
  ];
  const known = parts.slice(1).reduce((sum, [, ms]) => sum + ms, 0);
  parts.push(['the handler, and waiting for a turn at Redis or MySQL', Math.max(0, server - known)]);
  parts.sort((one, other) => other[1] - one[1]);
  return [
    `Bottleneck: **${parts[0][0]}**, ${parts[0][1].toFixed(2)} ms of a claim's ${client.toFixed(2)} ms on average.`,
    '',
    '| where an average claim is | milliseconds |',
    '| --- | ---: |',
    ...parts.map(([name, ms]) => `| ${name} | ${ms.toFixed(2)} |`),
    '',
    `Claims in one commit: ${rows(grown).toFixed(1)}. ${pool(after)}`,
  ];
}

function committedShare(data) {
  const committed = value(data, 'headgate_claims_admitted', 'count');
  const all =
    committed +
    value(data, 'headgate_claims_sold_out', 'count') +
    value(data, 'headgate_claims_already_claimed', 'count');
  return all > 0 ? committed / all : 0;
}

function rows(grown) {
  const batches = grown('headgate_claim_batch_rows_count');
  return batches > 0 ? grown('headgate_claim_batch_rows_sum') / batches : 0;
}

function pool(after) {
  const states = Object.keys(after).filter((key) => key.startsWith('headgate_db_pool_connections'));
  return states.length > 0
    ? `Connections to MySQL at the end: ${states.map((key) => `${key.slice(key.indexOf('{'))} ${after[key]}`).join(', ')}.`
    : '';
}

function thresholds(data) {
  const lines = [];
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [condition, outcome] of Object.entries(metric.thresholds || {})) {
      lines.push(`- ${outcome.ok ? 'held' : '**MISSED**'}: ${name} ${condition}`);
    }
  }
  return ['Thresholds:', '', ...lines];
}
