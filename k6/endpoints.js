// One scenario for each endpoint, one after the other, so that each has figures of its
// own. ENDPOINT=name runs a single one.

import exec from 'k6/execution';
import * as headgate from './headgate.js';
import { readMetrics, summarise } from './report.js';

const SECONDS = headgate.SHORT ? 2 : 10;
const PER_SECOND = headgate.SHORT ? 20 : 100;
const VUS = headgate.SHORT ? 20 : 100;
const QUOTA = 1000000;
// Coupons that were issued before, for the endpoints that use them.
const COUPONS = headgate.SHORT ? 20 : 200;
const WAIT = { prefer: 'wait=10' };

// Milliseconds that 95 of 100 answers stay below. Where an answer waits for the coupon,
// relay and consumers are in it.
const ENDPOINTS = {
  register_campaign: 100,
  list_campaigns: 200,
  get_campaign: 50,
  change_campaign: 100,
  pause_campaign: 100,
  resume_campaign: 100,
  end_campaign: 100,
  claim: 50,
  claim_and_wait: 1000,
  claim_sold_out: 25,
  claim_again: 50,
  get_claim: 50,
  claim_events: 100,
  list_coupons: 50,
  use_coupon: 100,
  restore_coupon: 100,
};

function chosen() {
  const only = __ENV.ENDPOINT;
  if (only && !(only in ENDPOINTS)) {
    throw new Error(`no endpoint ${only}: ${Object.keys(ENDPOINTS).join(', ')}`);
  }
  return only ? [only] : Object.keys(ENDPOINTS);
}

function scenarios() {
  const all = {};
  chosen().forEach((name, place) => {
    all[name] = {
      executor: 'constant-arrival-rate',
      exec: name,
      rate: PER_SECOND,
      timeUnit: '1s',
      duration: `${SECONDS}s`,
      startTime: `${place * (SECONDS + 1)}s`,
      preAllocatedVUs: VUS,
    };
  });
  return all;
}

function thresholds() {
  const all = { http_req_failed: ['rate==0'], headgate_unexpected_answers: ['count==0'], dropped_iterations: ['count==0'] };
  for (const name of chosen()) {
    all[`http_req_duration{scenario:${name},measured:yes}`] = [`p(95)<${ENDPOINTS[name]}`];
  }
  return all;
}

export const options = {
  scenarios: scenarios(),
  thresholds: thresholds(),
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
  setupTimeout: '2m',
};

export function setup() {
  headgate.requireTarget();
  const run = Date.now();
  const open = headgate.registerCampaign(`endpoints ${run}`, QUOTA);
  const soldOut = headgate.registerCampaign(`endpoints, sold out ${run}`, 1);
  headgate.claim(soldOut, 'winner');
  const coupons = [];
  for (let number = 0; number < COUPONS; number += 1) {
    const response = headgate.claim(open, `holder-${number}`, WAIT);
    headgate.expect(response, 'setup: claim_and_wait', [201]);
    coupons.push(response.json('claim_id'));
  }
  return { run, open, soldOut, coupons, metrics: readMetrics() };
}

const iteration = () => exec.scenario.iterationInTest;
const order = () => ({ order_reference: `order-${iteration() % COUPONS}` });
const couponOf = (data) => data.coupons[iteration() % data.coupons.length];

/** Sends the request that its scenario is about; others of the iteration are not measured. */
function measure(statuses, method, path, body, headers) {
  const name = exec.scenario.name;
  exec.vu.metrics.tags.measured = 'yes';
  const response = headgate.request(method, path, name, body, headers);
  delete exec.vu.metrics.tags.measured;
  headgate.expect(response, name, statuses);
  return response;
}

function campaignBody(name) {
  const now = Date.now();
  return {
    name,
    quota: 100,
    opens_at: new Date(now - 60_000).toISOString(),
    closes_at: new Date(now + 3_600_000).toISOString(),
    discount: { type: 'percent', percent: 10, amount_max: 5000 },
    order_amount_min: 10000,
  };
}

export function register_campaign() {
  measure([201], 'POST', '/v1/campaigns', campaignBody(`registered ${iteration()}`));
}

export function list_campaigns() {
  measure([200], 'GET', '/v1/campaigns?limit=20');
}

export function get_campaign(data) {
  measure([200], 'GET', `/v1/campaigns/${data.open}`);
}

export function change_campaign() {
  const campaign = headgate.registerCampaign('changed', 100);
  measure([200], 'PATCH', `/v1/campaigns/${campaign}`, { quota: 200 });
}

export function pause_campaign() {
  const campaign = headgate.registerCampaign('paused', 100);
  measure([200], 'POST', `/v1/campaigns/${campaign}/pause`);
}

export function resume_campaign() {
  const campaign = headgate.registerCampaign('resumed', 100);
  headgate.request('POST', `/v1/campaigns/${campaign}/pause`, 'pause_campaign');
  measure([200], 'POST', `/v1/campaigns/${campaign}/resume`);
}

export function end_campaign() {
  const campaign = headgate.registerCampaign('ended', 100);
  measure([200], 'POST', `/v1/campaigns/${campaign}/end`);
}

export function claim(data) {
  measure([202], 'POST', `/v1/campaigns/${data.open}/claims`, { user_id: `claims-${data.run}-${iteration()}` });
}

export function claim_and_wait(data) {
  measure([201], 'POST', `/v1/campaigns/${data.open}/claims`, { user_id: `waits-${data.run}-${iteration()}` }, WAIT);
}

export function claim_sold_out(data) {
  measure([409], 'POST', `/v1/campaigns/${data.soldOut}/claims`, { user_id: `loser-${iteration()}` });
}

export function claim_again(data) {
  measure([409], 'POST', `/v1/campaigns/${data.open}/claims`, { user_id: `holder-${iteration() % COUPONS}` });
}

export function get_claim(data) {
  measure([200], 'GET', `/v1/claims/${couponOf(data)}`);
}

export function claim_events(data) {
  // The coupon is there, so the stream says so and ends.
  measure([200], 'GET', `/v1/claims/${couponOf(data)}/events`, undefined, { accept: 'text/event-stream' });
}

export function list_coupons() {
  measure([200], 'GET', `/v1/users/holder-${iteration() % COUPONS}/coupons?limit=20`);
}

export function use_coupon(data) {
  // The same coupon on the same order: asking again is no mistake.
  measure([200], 'POST', `/v1/coupons/${couponOf(data)}/use`, order());
}

export function restore_coupon(data) {
  headgate.request('POST', `/v1/coupons/${couponOf(data)}/use`, 'use_coupon', order());
  measure([200], 'POST', `/v1/coupons/${couponOf(data)}/restore`, order());
}

export function handleSummary(data) {
  return summarise('Endpoints', data);
}
