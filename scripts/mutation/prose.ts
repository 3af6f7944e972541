export const PROSE = "# Mutation testing";
