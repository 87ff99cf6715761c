// npm's oidc-provider on a free port of 127.0.0.1: PKCE required, refresh tokens rotate. It says its port on stdout.
//   node provider.mjs <oidc-provider's index.js> <redirect URI>
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [library, redirectUri] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(library));

const client = {
  redirect_uris: [redirectUri],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [
      { ...client, client_id: 'crm', client_secret: 'the-client-secret', token_endpoint_auth_method: 'client_secret_basic' },
      { ...client, client_id: 'app', token_endpoint_auth_method: 'none' },
    ],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    features: { revocation: { enabled: true } },
    revokeGrantPolicy: () => true, // whatever is revoked, the whole consent is
    cookies: { keys: ['a key for tests'] },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  server.on('request', provider.callback());
  console.log(JSON.stringify({ port }));
});
process.stdin.on('end', () => process.exit(0)).resume(); // whoever started it is gone
