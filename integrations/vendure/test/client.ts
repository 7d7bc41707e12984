/** A GraphQL API of the shop, as one user. */
export class Client {
    private token: string | null = null;

    constructor(private readonly url: string) {}

    /** The data of the answer. Throws the sentences of the errors that it has. */
    async send<Answer>(query: string, variables: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
        const response = await fetch(this.url, {
            method: 'POST',
            headers: {
                'content-type': 'application/json',
                ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
                ...headers,
            },
            body: JSON.stringify({ query, variables }),
        });
        this.token = response.headers.get('vendure-auth-token') ?? this.token;
        const answer = (await response.json()) as { data: Answer; errors?: { message: string }[] };
        if (answer.errors) {
            throw new Error(answer.errors.map(({ message }) => message).join(' '));
        }
        return answer.data;
    }

    async logIn(username: string, password: string): Promise<void> {
        await this.send(
            'mutation($username: String!, $password: String!) { login(username: $username, password: $password) { __typename } }',
            {
                username,
                password,
            },
        );
    }
}
