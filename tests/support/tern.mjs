// npm's @hookflo/tern verifies an Ed25519 callback with the keys that a JWKS address gives.
//   node tern.mjs <tern's directory> <JWKS address>   reads {headers, body: base64} on stdin, writes tern's result
// It knows no version prefixes of its own, so "v1a," is taken off here; everything else is its work.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const [library, jwksUrl] = process.argv.slice(2);
const { WebhookVerificationService } = createRequire(import.meta.url)(library);
const { headers, body } = JSON.parse(await text(process.stdin));
const signatures = headers['webhook-signature'].split(' ').filter((one) => one.startsWith('v1a,'));
const results = [];
for (const signature of signatures) {
  const request = new Request('http://receiver.example/', {
    method: 'POST',
    headers: { ...headers, 'webhook-signature': signature.slice('v1a,'.length) },
    body: Buffer.from(body, 'base64'),
  });
  const result = await WebhookVerificationService.verify(request, {
    platform: 'custom',
    secret: '',
    signatureConfig: {
      algorithm: 'ed25519',
      headerName: 'webhook-signature',
      headerFormat: 'raw',
      timestampHeader: 'webhook-timestamp',
      payloadFormat: 'custom',
      customConfig: { payloadFormat: '{id}.{timestamp}.{body}', idHeader: 'webhook-id', jwksUrl },
    },
  });
  results.push(result);
}
console.log(JSON.stringify(results));
