// What several pages ask for of the same things.
import { gql } from './api.js';

export const REFUSAL = gql`fragment RefusalParts on Refusal {
  code codeLabel message field reason docsUrl traceId
  remedy { kind text setting value mutation variables { name value } }
}`;

export const ISSUE = gql`fragment IssueParts on Issue {
  id check checkLabel message evidence blocking severity severityLabel state stateLabel count
  firstSeenAt lastSeenAt resolvedAt docsUrl
  actions { name label allowed needsStepUp }
  viewerFollows assignee { id name } mute { reason until by { name } } waiver { reason until by { name } }
  remedy { kind text setting value mutation variables { name value } }
}`;

export const SCAN = gql`fragment ScanParts on Scan {
  id suites suiteLabels state stateLabel only requestedAt finishedAt
  progress { done total }
  results {
    check checkLabel answer answerLabel message evidence blocking severity severityLabel docsUrl
    remedy { kind text setting value mutation variables { name value } }
  }
}`;

export const DIRECTION = gql`fragment DirectionParts on Direction {
  way status statusLabel statusSince ourView ourViewLabel lastProofAt roundTripMs clockSkewMs misses activatedAt
  peerView peerViewLabel peerViewAt peerCause { code codeLabel reason message remedy { kind text setting value mutation } }
  cause { code codeLabel reason detail at traceId peerTraceId remedy { kind text setting value mutation } }
}`;

export const ONBOARDING = gql`fragment OnboardingParts on OnboardingAttempt {
  number state stateLabel startedAt authorizationUrl authorizationExpiresAt
  phases {
    name label message state stateLabel startedAt finishedAt deadline tries nextTryAt
    failure { ...RefusalParts }
  }
}
${REFUSAL}`;

export const MODULE_NAMES = gql`query KeyModuleNames { keyModules(first: 250) { edges { node { name purpose algorithm } } } }`;
