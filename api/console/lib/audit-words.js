// What was done, in words: an entry of the audit trail names operations as programs know them.
import { inWords, role as roleInWords } from './words.js';

const OPERATIONS = {
  'access-token.create': 'Access token made', 'access-token.revoke': 'Access token revoked',
  'account.password': 'Password set', 'account.update': 'Account changed',
  'activity.complete': 'Activity marked complete',
  'attempt.abandoned': 'Attempt abandoned', 'attempt.discard': 'Attempt discarded', 'attempt.expire': 'Attempt expired', 'attempt.withdrawn': 'Attempt withdrawn',
  'audit.witness': 'Checkpoint of the other instance kept',
  'authorization.client': 'Consumer’s program turned away', 'authorization.decide': 'Approval decided', 'authorization.page': 'Approval looked at',
  'authorization.push': 'Approval asked for', 'authorization.redeem': 'Approval used', 'authorization.revoke': 'Approval revoked',
  'claim.make': 'Link claimed', 'claim.prove': 'Link proved', 'claim.receive': 'Claim received', 'claim.refused': 'Claim refused',
  'company.create': 'Company added', 'contact.create': 'Contact added',
  'connection.clone_suspected': 'Copy of the other instance suspected', 'connection.company': 'Company chosen', 'connection.confirm_survivor': 'Confirmed that this instance goes on',
  'connection.offboard': 'Off-boarded', 'connection.offboarded': 'Off-boarding ended', 'connection.offboarded_by_peer': 'Off-boarded there',
  'connection.refresh_peer': 'Other side asked who it is', 'connection.renew_credentials': 'Credentials renewed', 'connection.retry_work': 'Work tried again',
  'connection.survivor_confirmed_by_peer': 'Confirmed there which copy goes on', 'connection.onboarded': 'Onboarded', 'connection.open': 'Link opened',
  'connection.paused_by_peer': 'Suspended or resumed there', 'connection.resume': 'Resumed', 'connection.suspend': 'Suspended',
  'connection.verified': 'Verification ended', 'connection.verify': 'Verification begun',
  'definition.beyond': 'Definitions published anew', 'definition.save': 'Definition published', 'definition.withdraw': 'Definition withdrawn',
  'instance.initialise': 'Instance set up', 'instance.survivor': 'Confirmed on the host that this instance goes on',
  'issue.assign': 'Issue assigned', 'issue.mute': 'Issue muted', 'issue.unmute': 'Issue unmuted', 'issue.validate': 'Issue looked at again',
  'issue.waive': 'Issue waived', 'issue.withdraw_waiver': 'Waiver withdrawn', 'issue.waiver_ended': 'Waiver ended: something else was found',
  'key.account.password': 'Password set', 'key.account.update': 'Account changed',
  'key.activate': 'Key put into use', 'key.compromise': 'Key marked as compromised', 'key.denied': 'Use of a key denied', 'key.destroy': 'Key destroyed',
  'key.export': 'Key exported', 'key.generate': 'Key made', 'key.import': 'Key imported', 'key.import.offer': 'Import offered',
  'key.deactivate': 'Key deactivated', 'key.renew': 'Key renewed', 'key.resume': 'Key resumed', 'key.revoke': 'Key revoked', 'key.rotate': 'Key rotated', 'key.suspend': 'Key suspended',
  'key.use': 'Key used', 'key.used': 'Keys used by the program', 'key.window': 'Use of keys by the program',
  'key.approval.expire': 'Approval expired', 'key.approval.give': 'Approved', 'key.approval.refuse': 'Approval refused',
  'key.approval.request': 'Approval asked for', 'key.approval.use': 'Approval used', 'key.approval.withdraw': 'Request withdrawn',
  'key.encryption.begin': 'Rotation of the key encryption key begun', 'key.encryption.retire': 'Old key encryption key removed',
  'key.policy.create': 'Access policy added', 'key.policy.delete': 'Access policy deleted', 'key.policy.update': 'Access policy changed',
  'key.root.rotate': 'Root key rotated',
  'key.add': 'New key written to the database', 'key.change': 'Change of a key written to the database', 'key_module.add': 'New key module written to the database',
  'key.role.grant': 'Key role granted', 'key.role.revoke': 'Key role taken', 'role.grant': 'Role granted', 'role.revoke': 'Role taken',
  'key_module.change': 'Change of a key module written to the database', 'key_module.create': 'Key module made', 'key_module.publish': 'Key module published',
  'key_module.schedule': 'Rotation scheduled', 'key_module.specify': 'Key module specified',
  'keys.established': 'Keys exchanged',
  'onboarding.authorize_again': 'Approval asked for again', 'onboarding.authorized': 'Approved by the contact', 'onboarding.cancel': 'Onboarding cancelled', 'onboarding.retry': 'Phase tried again',
  'onboarding.start': 'Onboarding started', 'onboarding.start_over': 'Started over', 'phase.failed': 'Phase failed',
  'provider-record.save': 'Provider record saved',
  'registration.cancel': 'Registration cancelled', 'registration.contested': 'Link proved twice', 'registration.create': 'Consumer registered',
  'registration.expire': 'Registration expired', 'registration.link': 'Link made', 'registration.link_sent': 'Link sent', 'registration.reissue': 'Link made anew',
  'registration.retry': 'Registration tried again', 'registration.revalidate': 'Checks asked for', 'registration.update': 'Registration changed',
  'scan.cancel': 'Scan called off', 'scan.end': 'Scan ended', 'schedule.update': 'Schedule of checks changed',
  'session.code': 'Code to sign in', 'session.end': 'Signed out', 'session.revoke': 'Signed out elsewhere', 'session.start': 'Signed in', 'session.step-up': 'Identity confirmed',
  'settings.sync': 'Settings synced', 'settings.take': 'Settings taken over', 'settings.update': 'Settings saved',
  'user.create': 'Person added',
};

/** What was done, and to what as far as the entry says. */
export function operationWords({ operation, details }) {
  const { module, version, name, email, number, role, suite } = JSON.parse(details || '{}') ?? {};
  const named = [module, version && `version ${version}`, name ?? email ?? number ?? (role ? roleInWords(role) : suite)].filter(Boolean).join(', ');
  const words = OPERATIONS[operation] ?? inWords(operation.toUpperCase().replaceAll(/[.-]/g, ' '));
  return named ? `${words}: ${named}` : words;
}

/** Who did it: a person by name; what came from elsewhere by where it came from. */
export function actorWords({ actorKind, actorName, operation, objectKind }) {
  if (actorName) return actorName;
  if (actorKind === 'SYSTEM') return 'This instance';
  if (actorKind === 'PERSON') return 'Somebody';
  if (actorKind === 'PEER') return 'The other instance';
  if (operation === 'session.start') return 'Whoever signed in';
  return /^(CONNECTION|REGISTRATION|ATTEMPT)$/.test(objectKind) || /^(claim|authorization|keys|audit)\./.test(operation) ? 'The other instance' : 'Somebody not signed in';
}
