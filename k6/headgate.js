// Headgate's public API as the scenarios call it, and what they count.

import http from 'k6/http';
import { check, fail } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const URL = (__ENV.HEADGATE_API_URL || '').replace(/\/$/, '');
const KEY = __ENV.HEADGATE_API_KEY || '';

// K6_SHORT=1: the same scenario in a tenth of the time, for a quick look and for tests.
export const SHORT = __ENV.K6_SHORT === '1';
const SHORT_DIVISOR = 10;

// Business answers, each its own outcome. Only `unexpected` is a failure.
export const admitted = new Counter('headgate_claims_admitted');
export const soldOut = new Counter('headgate_claims_sold_out');
export const alreadyClaimed = new Counter('headgate_claims_already_claimed');
export const unavailable = new Counter('headgate_claims_unavailable');
export const unexpected = new Counter('headgate_unexpected_answers');
export const issuedAfter = new Trend('headgate_all_issued_after_last_claim', true);

// A refusal by a rule of the business is an answer, not a failed request.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }, 409, 410));

/** `seconds` as k6 wants it, a tenth of it in the short mode. */
export function duration(seconds) {
  return `${SHORT ? Math.max(1, Math.round(seconds / SHORT_DIVISOR)) : seconds}s`;
}

/** Sends one request. `name` groups the figures of an endpoint, whatever ids its path holds. */
export function request(method, path, name, body, headers = {}) {
  return http.request(method, `${URL}${path}`, body === undefined ? null : JSON.stringify(body), {
    headers: { 'content-type': 'application/json', 'x-api-key': KEY, ...headers },
    tags: { name },
    timeout: '30s',
  });
}

/** Counts an answer that the scenario did not foresee. */
export function expect(response, name, statuses) {
  const foreseen = check(response, { [`${name}: ${statuses.join(' or ')}`]: (r) => statuses.includes(r.status) });
  if (!foreseen) {
    unexpected.add(1, { name, status: String(response.status) });
  }
  return foreseen;
}

/** Refuses to start without an address and a key. */
export function requireTarget() {
  if (!URL || !KEY) {
    fail('set HEADGATE_API_URL and HEADGATE_API_KEY: `. .run/env` after `make up`');
  }
}

/** Registers a campaign that is open now; returns its id. */
export function registerCampaign(name, quota) {
  const now = Date.now();
  const response = request('POST', '/v1/campaigns', 'register_campaign', {
    name,
    quota,
    opens_at: new Date(now - 60_000).toISOString(),
    closes_at: new Date(now + 6 * 3_600_000).toISOString(),
    discount: { type: 'fixed', amount: 1000 },
  });
  if (response.status !== 201) {
    fail(`the campaign was not registered: ${response.status} ${response.body}`);
  }
  return response.json('campaign_id');
}

/** Reads a campaign. */
export function readCampaign(campaignId) {
  return request('GET', `/v1/campaigns/${campaignId}`, 'get_campaign').json();
}

/** Claims, and counts the outcome. Returns the response. */
export function claim(campaignId, userId, headers) {
  const response = request('POST', `/v1/campaigns/${campaignId}/claims`, 'claim', { user_id: userId }, headers);
  const code = response.status === 409 ? response.json('code') : '';
  if (response.status === 202 || response.status === 201) {
    admitted.add(1);
  } else if (code === 'coupon-sold-out') {
    soldOut.add(1);
  } else if (code === 'coupon-already-claimed') {
    alreadyClaimed.add(1);
  } else if (response.status === 503) {
    unavailable.add(1);
  } else {
    unexpected.add(1, { name: 'claim', status: String(response.status) });
  }
  return response;
}
