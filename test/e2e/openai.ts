// OpenAI's own client at a deployment of the tests': no second try, and every reply held against OpenAI's
// published shapes.

import OpenAI from 'openai';
import { checkedFetch } from './reply-validator.ts';

export function openaiAt(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, fetch: checkedFetch });
}
