/**
 * Where the link between agent and grid differs from other links. Milliseconds.
 *
 * An agent that holds work is heard every second. With what a suspicion and a new lease take, its work is leased again within
 * three seconds of its last word. After a coordinator was lost its agents are back within a second or so of its return.
 */
export const AGENT_LINK_LIMITS = { deadAfterMs: 2_500, backoffMaxMs: 1_000 } as const;
