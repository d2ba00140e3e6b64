// Names of the stages for people.

const NAMES = { sparse: "words", dense: "meaning", splade: "SPLADE", fused: "fused", reranked: "reranked", diversified: "diverse" };

export const stageName = (stage) => NAMES[stage] || stage;
