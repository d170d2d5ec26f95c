// Coupon rush: five campaigns of 30 coupons, users 1 to 500 who come back again and again.
// Who wins is settled in the first seconds; after that everybody hears "sold out" or
// "already claimed", and both are right.

import { sleep } from 'k6';
import * as headgate from './headgate.js';
import { readMetrics, summarise } from './report.js';

const CAMPAIGNS = 5;
const QUOTA = 30;
const USERS = 500;
const THINK_SECONDS_MIN = 0.5;
const THINK_SECONDS_MAX = 1.5;

export const options = {
  scenarios: {
    coupon_rush: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: headgate.duration(10), target: 100 },
        { duration: headgate.duration(20), target: 300 },
        { duration: headgate.duration(30), target: 500 },
        { duration: headgate.duration(20), target: 500 },
        { duration: headgate.duration(10), target: 0 },
      ],
      gracefulRampDown: '5s',
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    headgate_unexpected_answers: ['count==0'],
    headgate_claims_unavailable: ['count==0'],
    headgate_claims_admitted: [`count==${CAMPAIGNS * QUOTA}`],
    headgate_claims_sold_out: ['count>0'],
    'http_req_duration{name:claim}': ['p(95)<50', 'p(99)<200'],
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

export function setup() {
  headgate.requireTarget();
  const run = Date.now();
  const campaigns = [];
  for (let number = 1; number <= CAMPAIGNS; number += 1) {
    campaigns.push(headgate.registerCampaign(`coupon rush ${run} ${number}`, QUOTA));
  }
  return { campaigns, metrics: readMetrics() };
}

export default function (data) {
  const campaign = data.campaigns[Math.floor(Math.random() * data.campaigns.length)];
  const user = 1 + Math.floor(Math.random() * USERS);
  headgate.claim(campaign, `user-${user}`);
  sleep(THINK_SECONDS_MIN + Math.random() * (THINK_SECONDS_MAX - THINK_SECONDS_MIN));
}

export function handleSummary(data) {
  return summarise('Coupon rush', data);
}
