// Winning rush: 500 users at a time against 10,000 coupons. Every user asks once, so that
// exactly the first 10,000 win and the rest hear "sold out". At the end all coupons are
// waited for.

import { fail, sleep } from 'k6';
import exec from 'k6/execution';
import * as headgate from './headgate.js';
import { readMetrics, summarise } from './report.js';

const VUS = headgate.SHORT ? 100 : 500;
const QUOTA = headgate.SHORT ? 1000 : 10000;
const LOSERS = QUOTA / 5;
const ISSUED_WITHIN_SECONDS = 60;
const LOOK_EVERY_SECONDS = 0.1;

export const options = {
  scenarios: {
    winning_rush: {
      executor: 'shared-iterations',
      vus: VUS,
      iterations: QUOTA + LOSERS,
      maxDuration: '5m',
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    headgate_unexpected_answers: ['count==0'],
    headgate_claims_unavailable: ['count==0'],
    headgate_claims_admitted: [`count==${QUOTA}`],
    headgate_claims_sold_out: [`count==${LOSERS}`],
    headgate_all_issued_after_last_claim: ['max<10000'],
    'http_req_duration{name:claim}': ['p(95)<500', 'p(99)<1000'],
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
  teardownTimeout: `${ISSUED_WITHIN_SECONDS + 30}s`,
};

export function setup() {
  headgate.requireTarget();
  return {
    campaign: headgate.registerCampaign(`winning rush ${Date.now()}`, QUOTA),
    metrics: readMetrics(),
  };
}

export default function (data) {
  headgate.claim(data.campaign, `user-${exec.scenario.iterationInTest}`);
}

export function teardown(data) {
  const ended = Date.now();
  while (headgate.readCampaign(data.campaign).issued < QUOTA) {
    if (Date.now() - ended > ISSUED_WITHIN_SECONDS * 1000) {
      fail(`not every winner has a coupon after ${ISSUED_WITHIN_SECONDS} s: do relay and consumers run?`);
    }
    sleep(LOOK_EVERY_SECONDS);
  }
  headgate.issuedAfter.add(Date.now() - ended);
}

export function handleSummary(data) {
  return summarise('Winning rush', data);
}
